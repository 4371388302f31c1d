# SPDX-License-Identifier: Apache-2.0
"""OCI registries, Ollama, IPFS and Metalink: what is imported is there by name, and is what it should be; and what is said when
it cannot be had.
"""

import contextlib
import json
import os
import socket
import ssl
import sys
import urllib.request

import pytest

from conftest import ALICE, BOB
from harness import cli, config, process, registries
from harness.catalogs import Catalog
from harness.mount import Mount
from harness.paths import WEIGHTFS
from harness.poll import wait_until
from harness.registries import Registry, Repo, Site, basic, cid, sha256

WEIGHTS = os.urandom(3 << 20)
CONFIG = b'{"architectures": ["Qwen3ForCausalLM"]}'


class Place:
    """A mount, and who imports."""

    def __init__(self, folder, certificate, *sections, **ipfs):
        self.folder, self.home = str(folder), os.path.join(folder, "home")
        os.makedirs(self.home)
        os.chmod(self.home, 0o755)
        keys = {"allow-private": "yes", "ca-file": certificate.ca}
        sections = list(sections) + ["[import]\n" + "\n".join(f"{k} = {v}" for k, v in keys.items())]
        if ipfs:
            sections.append("[ipfs]\n" + "\n".join(f"{k} = {v}" for k, v in {**keys, **ipfs}.items()))
        self.conf = config.write(os.path.join(folder, "weightfs.conf"), sections)
        self.environment = {**os.environ, "HOME": self.home}
        for name in ("XDG_RUNTIME_DIR", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "IPFS_GATEWAY", "SSL_CERT_FILE"):
            self.environment.pop(name, None)
        self.mount = Mount(self.folder, self.conf).start()
        os.chmod(self.mount.store, 0o711)

    def run(self, command, *args, uid=None, **environment):
        return cli.weightfs(command, "--conf", self.conf, "--store", self.mount.store, *args, uid=uid,
                            env={**self.environment, **environment})

    def imported(self, spec, **kwargs):
        """What was printed, as JSON."""
        result = self.run("import", "--json", spec, **kwargs)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def refused(self, spec, *words, **kwargs):
        """One line, in which WORDS are."""
        result = self.run("import", spec, **kwargs)
        assert result.returncode == 1, result.stdout
        lines = result.stderr.splitlines()
        for word in words:
            assert word in lines[0], result.stderr
        return lines

    def read(self, name, uid=None):
        """All of it, at name/NAME."""
        result = process.run(["cat", self.mount.path("name", name)], uid=uid, text=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def log_in(self, host, auth=None):
        folder = os.path.join(self.home, ".docker")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump({"auths": {host: {"auth": auth or basic()}}}, file)


@pytest.fixture
def place(base, certificate, request):
    with contextlib.ExitStack() as stack:
        def make(*sections, **ipfs):
            folder = os.path.join(base, f"others-{request.node.name}")
            os.makedirs(folder, exist_ok=True)
            made = Place(folder, certificate, *sections, **ipfs)
            stack.callback(made.mount.clean_up)
            return made
        yield make


@pytest.fixture
def registry(certificate):
    with contextlib.ExitStack() as stack:
        def make(repos, **kwargs):
            made = Registry(certificate, repos, **kwargs)
            stack.callback(made.stop)
            return made
        yield make


@pytest.fixture
def site(certificate):
    made = Site(certificate)
    yield made
    made.stop()


def model(private=False, tags=("latest", "v1")):
    repo = Repo(private)
    repo.add_model([repo.add_blob(WEIGHTS, title="model.safetensors"),
                    repo.add_blob(CONFIG, "application/vnd.cncf.model.weight.config.v1.raw", title="onnx/config.json"),
                    repo.add_blob(b"tar", "application/vnd.cncf.model.doc.v1.tar", title="docs")], *tags)
    return repo


# ---- OCI -------------------------------------------------------------------------------------------

def test_oci(place, registry):
    repo = model()
    server = registry({"org/model": repo})
    here = place()
    digest = repo.tags["v1"][7:]
    folder = f"oci/{server.host}/org/model@{digest}"
    told = here.imported(f"oci:{server.host}/org/model:v1")
    assert (told["name"], told["files"], told["size"]) == (folder, 3, len(WEIGHTS) + len(CONFIG) + 3)
    # Nothing is fetched before it is wanted.
    assert not server.requests("blobs")
    assert here.read(f"{folder}/model.safetensors") == WEIGHTS
    assert here.read(f"{folder}/onnx/config.json") == CONFIG
    assert here.read(f"{folder}/docs.tar") == b"tar"
    assert {sha256(WEIGHTS), sha256(CONFIG)} <= {r["digest"] for r in cli.listed(here.mount.store)}
    # Everybody's token, and to no other host.
    assert all(a is None for _, _, a in server.requests("tokens") + server.requests("blobs"))
    assert here.imported(f"oci:{server.host}/org/model@sha256:{digest}")["new"] == 0


def test_oci_private(place, registry):
    server = registry({"org/model": model(private=True)})
    here = place()
    spec = f"oci:{server.host}/org/model"
    here.refused(spec, "it is private, or there is no such model", f"docker login {server.host}", "HTTP 401",
                 "authentication required")
    here.log_in(server.host, basic(password="wrong"))
    here.refused(spec, "config.json is not accepted", "HTTP 401", "incorrect username or password")
    here.log_in(server.host)
    name = here.imported(spec)["name"]
    # Root's, who has the credential.
    assert here.read(f"{name}/model.safetensors") == WEIGHTS
    assert process.run(["ls", here.mount.path("name", name)], uid=ALICE).returncode != 0


def test_oci_private_of_a_user(place, registry):
    server = registry({"org/model": model(private=True)}, deny_tokens=True)
    here = place()
    here.refused(f"oci:{server.host}/org/model", "it is private", "HTTP 403", "requested access", uid=ALICE)
    here.log_in(server.host)
    name = here.imported(f"oci:{server.host}/org/model", uid=ALICE)["name"]
    assert here.read(f"{name}/onnx/config.json", uid=ALICE) == CONFIG
    assert process.run(["cat", here.mount.path("name", name, "onnx/config.json")], uid=BOB).returncode != 0


def test_oci_redirected_challenge(place, registry):
    """Who is redirected to asks for a credential, and says where it may be brought."""
    server, other = registry({"org/model": model(private=True)}), registry({}, deny_tokens=True)
    server.servers[0].RequestHandlerClass.answer = lambda self, path, quoted, query: self.reply(
        307, Location=other.url.replace("127.0.0.1", "localhost") + path)
    here = place()
    here.log_in(server.host)
    here.refused(f"oci:{server.host}/org/model", "HTTP 401")
    assert other.requests("registry")
    assert all(credential is None for name in ("registry", "tokens") for _, _, credential in other.requests(name))


def test_oci_index(place, registry):
    repo, two = Repo(), Repo()
    one = repo.add_model([repo.add_blob(WEIGHTS, title="w")])
    other = repo.add_manifest({"layers": [repo.add_blob(b"{}")]}, registries.OCI)
    other["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    repo.add_manifest({"manifests": [one, other]}, registries.INDEX, "latest")
    platforms = [dict(two.add_model([two.add_blob(bytes([i]))]), platform={"os": "linux", "architecture": f"a{i}"})
                 for i in range(2)]
    two.add_manifest({"manifests": platforms}, registries.INDEX, "latest")
    server = registry({"one": repo, "two": two}, scheme=None)
    here = place()
    assert here.imported(f"oci:{server.host}/one")["name"].endswith(f"@{one['digest'][7:]}")
    here.refused(f"oci:{server.host}/two", "an index of 2 manifests", platforms[0]["digest"], "linux/a0")
    assert here.imported(f"oci:{server.host}/two@{platforms[1]['digest']}")["files"] == 1


def test_oci_refusals(place, registry):
    repo = model()
    server = registry({"org/model": repo})
    here = place()
    spec = f"oci:{server.host}/org/model"
    here.refused(f"oci:{server.host}/org/model:none", "no such model or tag", "HTTP 404", "manifest unknown")
    here.refused(f"oci:{server.host}/org/none", "it is private, or there is no such model", "HTTP 401")
    here.refused("oci:org/model", "has no registry in front of it")
    here.refused("oci:ghcr.io/Org/model", "is no name of a repository")
    digest = repo.tags["latest"]
    repo.lie = b'{"schemaVersion": 2, "layers": []}'
    here.refused(f"{spec}@{digest}", f"the manifest that came is sha256:{sha256(repo.lie)}", f"not {digest}")
    repo.lie, repo.said = None, "sha256:" + "0" * 64
    here.refused(spec, "its header says sha256:0000")
    repo.said = None
    # Busy for a while, and for long.
    server.busy["manifests"] = 1
    assert here.imported(spec)["files"] == 3
    server.busy["manifests"], server.retry_after = 100, "3600"
    here.refused(spec, f"{server.host} is busy (HTTP 429); try again in 60 seconds or later")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        here.refused(f"oci:127.0.0.1:{unused.getsockname()[1]}/x", "the manifest cannot be had from 127.0.0.1")
    bad = Repo()
    bad.add_model([bad.add_blob(b"x", title="../../etc/passwd")], "latest")
    server.repos["bad"], server.busy = bad, {}
    here.refused(f"oci:{server.host}/bad", 'the title "../../etc/passwd" has a component')


def test_basic_credentials(place, registry):
    """A registry that gives out no tokens."""
    server = registry({"m": model(private=True)}, scheme="Basic")
    here = place()
    here.refused(f"oci:{server.host}/m", "it is private", "HTTP 401")
    here.log_in(server.host)
    name = here.imported(f"oci:{server.host}/m")["name"]
    assert here.read(f"{name}/onnx/config.json") == CONFIG


# ---- Docker's own registry --------------------------------------------------------------------------

# registries.PASSWORD, as bcrypt has it.
HASHED = "$2b$04$JbQx65mvCgVGwz4til3Ojusk1bKldJ6XFPIcyFBOmLmzFrzlskn4S"


def push(url, certificate, name, data, manifest=None, tag=None):
    context = ssl.create_default_context(cafile=certificate.ca)
    headers = {"Authorization": f"Basic {basic()}"}

    def send(method, target, body=None, **more):
        request = urllib.request.Request(target, body, {**headers, **more}, method=method)
        return urllib.request.urlopen(request, context=context)

    for blob in data:
        with send("POST", f"{url}/v2/{name}/blobs/uploads/", b"") as reply:
            location = reply.headers["Location"]
        location += ("&" if "?" in location else "?") + f"digest=sha256:{sha256(blob)}"
        send("PUT", location, blob, **{"Content-Type": "application/octet-stream"}).close()
    send("PUT", f"{url}/v2/{name}/manifests/{tag}", manifest, **{"Content-Type": registries.OCI}).close()


def test_docker_registry(place, base, certificate):
    folder = os.path.join(base, "docker-registry")
    os.makedirs(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(os.path.join(folder, "htpasswd"), "w") as file:
        file.write(f"{registries.USER}:{HASHED}\n")
    with open(os.path.join(folder, "config.yml"), "w") as file:
        file.write(f"""version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
auth: {{htpasswd: {{realm: here, path: {folder}/htpasswd}}}}
http:
  addr: 127.0.0.1:{port}
  secret: x
  tls: {{certificate: {certificate.chain}, key: {certificate.key}}}
""")
    with open(os.path.join(folder, "log"), "w") as log:
        child = process.spawn(["docker-registry", "serve", os.path.join(folder, "config.yml")], stdout=log, stderr=log)
    url, repo = f"https://127.0.0.1:{port}", model()
    body = repo.manifests[repo.tags["v1"]][0]

    def answers():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    try:
        wait_until(answers, "docker-registry listens")
        push(url, certificate, "org/model", repo.blobs.values(), body, "v1")
        here = place()
        spec = f"oci:127.0.0.1:{port}/org/model:v1"
        here.refused(spec, "it is private", "HTTP 401", "authentication required")
        here.log_in(f"127.0.0.1:{port}")
        name = here.imported(spec)["name"]
        assert name.endswith(f"@{sha256(body)}")
        assert here.read(f"{name}/model.safetensors") == WEIGHTS
        here.refused(f"oci:127.0.0.1:{port}/org/model:v2", "no such model or tag", "HTTP 404", "manifest unknown")
    finally:
        process.kill_group(child)


# ---- Ollama ----------------------------------------------------------------------------------------

def test_ollama(place, registry):
    repo = Repo()
    image = "application/vnd.ollama.image."
    repo.add_model([repo.add_blob(WEIGHTS, image + "model"), repo.add_blob(b"{{ .Prompt }}", image + "template"),
                    repo.add_blob(b"MIT", image + "license"), repo.add_blob(b"more", image + "license"),
                    repo.add_blob(b'{"stop":[]}', image + "params")], "latest", "0.6b",
                   kind=registries.DOCKER, config="application/vnd.docker.container.image.v1+json")
    server = registry({"library/qwen3": repo}, scheme=None)
    here = place()
    told = here.imported("ollama:qwen3:0.6b", WEIGHTFS_OLLAMA_REGISTRY=server.url)
    assert told["name"] == f"ollama/library/qwen3@{repo.tags['0.6b'][7:]}"
    for name, data in {"model.gguf": WEIGHTS, "template": b"{{ .Prompt }}", "license": b"MIT", "license-2": b"more",
                       "params.json": b'{"stop":[]}'}.items():
        assert here.read(f"{told['name']}/{name}") == data
    # The paths of the mount are what commands print, and take.
    place_of = here.mount.path("name", told["name"])
    printed = here.run("import", "ollama:qwen3", WEIGHTFS_OLLAMA_REGISTRY=server.url).stdout
    assert printed.split("  ")[0] == place_of
    for path, n in {"ollama/library/qwen3": 5, "name/" + told["name"]: 5, place_of + "/": 5, place_of + "/license": 1,
                    here.mount.path("name", "ollama", "library", "qwen3"): 5,
                    here.mount.path("hub", "models--library--qwen3"): 5}.items():
        pulled = process.run([cli.WEIGHTFS, "pull", path, *(() if path[0] == "/" else ("--store", here.mount.store))])
        assert pulled.returncode == 0 and len(pulled.stdout.splitlines()) == n, (path, pulled)
        assert "/hub/" in path or all(line.split("  ")[1].startswith(place_of + "/") for line in pulled.stdout.splitlines())
    assert "is in a mount already" in here.run("import", place_of).stderr
    assert here.run("imports").stdout.split("  ")[0] == place_of
    assert here.run("imports", "--remove", place_of).stdout == "5 objects have no name there any more\n"
    # Another host, as Ollama's names have it.
    told = here.imported(f"ollama:{server.host}/library/qwen3")
    assert told["name"].startswith(f"ollama/{server.host}/library/qwen3@")
    here.refused("ollama:none", "no such model or tag", "HTTP 404", WEIGHTFS_OLLAMA_REGISTRY=server.url)
    here.refused("ollama:a/b/c/d", "is no")


# ---- IPFS ------------------------------------------------------------------------------------------

def test_ipfs(place, site):
    raw, large = WEIGHTS[:200000], cid(WEIGHTS, 0x70)
    site.files = {f"/ipfs/{cid(raw)}": f"{site.url}/elsewhere", "/elsewhere": raw, f"/ipfs/{large}": WEIGHTS,
                  f"/ipfs/{cid(b'lie')}": b"lies"}
    here = place(gateway=site.url)
    assert here.imported(f"ipfs:{cid(raw)}")["name"] == f"ipfs/{cid(raw)}"
    assert here.read(f"ipfs/{cid(raw)}") == raw
    # What comes is not what the CID stands for.
    here.imported(f"ipfs:{cid(b'lie')}", IPFS_GATEWAY=site.url)
    result = process.run(["cat", here.mount.path("name/ipfs", cid(b"lie"))])
    assert result.returncode != 0 and "Input/output error" in result.stderr
    here.refused(f"ipfs:{cid(b'none')}", "the gateway does not find it", "HTTP 404")
    here.refused(f"ipfs:{large}", "no catalog has it", "only a catalog can say")
    here.refused("ipfs:Qm", "is no CID")


def test_ipfs_without_a_gateway(place):
    place().refused(f"ipfs:{cid(b'x')}", "no gateway is known", "IPFS_GATEWAY", "[ipfs]")


def test_ipfs_in_a_catalog(place, site, base, certificate):
    """A UnixFS file: its catalog says what its bytes are."""
    node, folder = cid(b"a node of UnixFS", 0x70), cid(b"that of a folder", 0x70)
    site.files = {f"/ipfs/{node}": WEIGHTS, f"/ipfs/{folder}/a/b": CONFIG}
    root = os.path.join(base, "ipfs-catalog")
    os.makedirs(root)
    catalog = Catalog(os.path.join(root, "keys"), root, site.url, ca_file=certificate.ca)
    catalog.publish([
        {"sha256": sha256(WEIGHTS), "size": len(WEIGHTS), "urls": [f"ipfs://{node}"], "names": ["w"]},
        {"sha256": sha256(CONFIG), "size": len(CONFIG), "urls": [f"ipfs://{folder}/a/b"], "names": ["c"]}])
    for path in (catalog.path, catalog.signature):
        with open(path, "rb") as file:
            site.files["/" + os.path.basename(path)] = file.read()
    here = place(catalog.section, gateway=site.url)
    wait_until(lambda: os.path.exists(here.mount.path("name/hub/w")), "the catalog is there")
    assert here.read("hub/w") == WEIGHTS
    for uid in (ALICE, None):
        assert here.imported(f"ipfs:{node}", uid=uid)["name"] == f"ipfs/{node}"
        assert here.imported(f"ipfs://{folder}/a/b", uid=uid)["name"] == f"ipfs/{folder}/a/b"
        assert here.read(f"ipfs/{folder}/a/b", uid=uid) == CONFIG
        assert here.read(f"ipfs/{node}", uid=uid) == WEIGHTS


# ---- Metalink --------------------------------------------------------------------------------------

def metalink(*files):
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<metalink xmlns="urn:ietf:params:xml:ns:metalink">']
    for name, data, size, *urls in files:
        parts.append(f'<file name="{name}">' + (f"<size>{size}</size>" if size is not None else "") +
                     f'<hash type="sha-256">{sha256(data)}</hash>' +
                     "".join(f'<url priority="{i + 1}">{url}</url>' for i, url in enumerate(urls)) + "</file>")
    return ("\n".join(parts) + "</metalink>\n").encode()


def test_metalink(place, site):
    text = metalink(("a/model.bin", WEIGHTS, len(WEIGHTS), f"{site.url.replace('127.0.0.1', 'localhost')}/gone", f"{site.url}/w"),
                    ("config.json", CONFIG, None, f"{site.url}/c"))
    site.files = {"/models.meta4": text, "/w": WEIGHTS, "/c": CONFIG}
    here = place()
    told = here.imported(f"metalink:{site.url}/models.meta4")
    assert told["name"] == f"metalink/models@{sha256(text)}" and told["size"] == len(WEIGHTS) + len(CONFIG)
    assert here.read(f"{told['name']}/a/model.bin") == WEIGHTS
    assert here.read(f"{told['name']}/config.json") == CONFIG
    path = os.path.join(here.folder, "other.meta4")
    with open(path, "wb") as file:
        file.write(text)
    for spec in (path, f"metalink:{path}"):
        assert here.imported(spec)["name"] == f"metalink/other@{sha256(text)}"
    here.refused(f"metalink:{site.url}/none", "there is no such document", "HTTP 404")
    here.refused("metalink:/none.meta4", "No such file")
    with open(path, "wb") as file:
        file.write(b"<!DOCTYPE x []><x/>")
    here.refused(path, "line 1: a document type is not accepted")
    with open(path, "wb") as file:
        file.write(metalink(("x", b"x", None, f"{site.url}/none")))
    here.refused(path, "does not have it any more", "HTTP 404")


# In a network of its own: a public address, which redirects to a private one that a server is at, too.
PUBLIC = '''
import http.server, os, subprocess, sys, threading
asked = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.headers["Host"])
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:8000/secret")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
code = subprocess.run(sys.argv[1:]).returncode
print(*asked)
os._exit(code)
'''


def test_a_public_host_redirects_to_no_private_one(folder):
    """Who names a registry does not have it ask what only this machine can reach."""
    conf = config.write(os.path.join(folder, "weightfs.conf"), [])
    network = "ip link set lo up && ip addr add 9.9.9.9/32 dev lo && exec \"$@\""
    for host, asked in (("9.9.9.9", 1), ("127.0.0.1", 4)):
        result = process.run(["unshare", "--net", "sh", "-c", network, "sh", sys.executable, "-c", PUBLIC, WEIGHTFS,
                              "import", "--conf", conf, "--store", os.path.join(folder, "store"),
                              f"metalink:http://{host}:8000/x.meta4"])
        assert result.returncode == 1, result.stdout
        assert len(result.stdout.split()) == asked, result.stdout
        assert ("from a public address to the private one 127.0.0.1" in result.stderr) == (asked == 1), result.stderr


def test_pull(place, registry):
    """Import, fetch and pin."""
    server = registry({"m": model()})
    here = place()
    result = here.run("pull", f"oci:{server.host}/m")
    assert result.returncode == 0, result.stderr
    records = {r["digest"]: r for r in cli.listed(here.mount.store)}
    assert records[sha256(WEIGHTS)]["state"] == "complete" and records[sha256(WEIGHTS)]["pinned"]
