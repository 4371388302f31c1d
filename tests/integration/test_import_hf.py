# SPDX-License-Identifier: Apache-2.0
"""hf:ORG/REPO: models of Hugging Face by name, against an imitation of the hub and its CDN."""

import hashlib
import json
import os
import random
import signal
import subprocess

import pytest

from conftest import ALICE
from harness import cli, hub as hubs, process
from harness.paths import MIB, SOON, WEIGHTFS

OTHER_TOKEN = "hf_ofSomebodyElse"


def blob(size, seed):
    return random.Random(seed).randbytes(size)


def files():
    return {"config.json": hubs.File(b'{"model_type": "tiny"}\n'),
            "README.md": hubs.File(b"# Tiny\n" * 100),
            "onnx/model 1.onnx": hubs.File(blob(700_001, 1), lfs=True),
            "model.safetensors": hubs.File(blob(3_000_017, 2), lfs=True)}


@pytest.fixture
def hub(certificate):
    made = hubs.Hub(certificate, {
        "Qwen/Tiny": hubs.Repo(files()),
        "meta/Gated": hubs.Repo({"x.bin": hubs.File(blob(600_000, 3), lfs=True),
                                 "config.json": hubs.File(b"{}")}, gated=True, allowed=[hubs.TOKEN]),
        "me/Private": hubs.Repo(files(), private=True, allowed=[hubs.TOKEN])},
        tokens=(hubs.TOKEN, OTHER_TOKEN))
    yield made
    made.stop()


class User:
    """Commands on a store of their own, without a daemon."""

    def __init__(self, folder, hub, certificate):
        self.store, self.conf = os.path.join(folder, "store"), os.path.join(folder, "conf")
        with open(self.conf, "w") as file:
            file.write(f"[import]\nallow-private = yes\nca-file = {certificate.ca}\n")
        self.env = {**os.environ, "HF_ENDPOINT": hub.url + "/", "HOME": folder}
        for name in ("HF_TOKEN", "HF_HOME", "HF_TOKEN_PATH", "XDG_CACHE_HOME", "HF_HUB_OFFLINE"):
            self.env.pop(name, None)

    def __call__(self, command, *args, **env):
        return cli.weightfs(command, "--store", self.store, "--conf", self.conf, *args,
                            env={**self.env, **env})

    def start(self, command, *args):
        """In the background; what it prints comes through its stdout. A shell's background job would not heed SIGINT."""
        return process.spawn(["env", "--default-signal=INT", WEIGHTFS, command, "--store", self.store, "--conf", self.conf, *args], env=self.env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def digests(self, *args, **env):
        """What `pull` printed, by the end of the path."""
        result = self("pull", *args, **env)
        assert result.returncode == 0, result.stderr
        lines = [line.split("  ", 1) for line in result.stdout.splitlines()]
        return {path.split("@")[1].split("/", 1)[1]: digest for digest, path in lines}


@pytest.fixture
def user(folder, hub, certificate):
    return User(folder, hub, certificate)


def refused(result, *words):
    assert result.returncode == 1 and not result.stdout, result
    for word in words:
        assert word in result.stderr, result.stderr


# ---- what goes well --------------------------------------------------------------------------------

def test_pull_by_name(hub, user):
    repo = hub.repos["Qwen/Tiny"]
    expected = {path: hashlib.sha256(file.data).hexdigest() for path, file in repo.files.items()}
    assert user.digests("hf:Qwen/Tiny") == expected
    # LFS files came from the second host, once each; nothing is fetched twice.
    before = len(hub.requests("cdn"))
    assert before >= 2
    again = user("pull", "hf:Qwen/Tiny")
    assert again.returncode == 0 and "0 B fetched, 4 were here already" in again.stderr
    assert len(hub.requests("cdn")) == before
    # By its name without a revision, and by that of a folder.
    assert user.digests("hf/Qwen/Tiny/onnx") == {"onnx/model 1.onnx": expected["onnx/model 1.onnx"]}
    assert all(token is None for _, _, token in hub.requests() + hub.requests("cdn"))
    listed = cli.listed(user.store, env=user.env)
    assert {one["digest"] for one in listed} == set(expected.values())


@pytest.mark.parametrize("spec, files", [
    ("hf:Qwen/Tiny@main/config.json", "1 file,"), ("hf:Qwen/Tiny/onnx/", "1 file,"),
    ("hf:Qwen/Tiny@COMMIT", "4 files,")])
def test_a_part_and_a_revision(hub, user, spec, files):
    result = user("import", spec.replace("COMMIT", hub.repos["Qwen/Tiny"].commit))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"name/hf/Qwen/Tiny@{hub.repos['Qwen/Tiny'].commit}")
    assert files in result.stdout


def test_what_is_there_for_everybody_is_pulled_with_ones_own(user):
    for args in (["--everybody", "hf:Qwen/Tiny"], ["hf:Qwen/Tiny/config.json"]):
        assert user("import", *args).returncode == 0
    assert len(user.digests("hf/Qwen/Tiny")) == 4
    listed = user("imports").stdout.splitlines()
    assert "  1 file, " in listed[0] and "  4 files, " in listed[1] and "/  " not in listed[0]


def test_a_list_in_pages(hub, user):
    hub.page = 2
    assert "4 files" in user("import", "hf:Qwen/Tiny").stdout
    assert len(hub.requests(pattern="/tree/")) == 3


def test_who_is_busy_is_asked_again(hub, user):
    hub.busy, hub.retry_after = {"/tree/": 1, "config.json": 1}, "1"
    result = user("import", "hf:Qwen/Tiny")
    assert result.returncode == 0 and "is busy (HTTP 429); asking again in 1 s" in result.stderr
    hub.busy, hub.retry_after = {"/tree/": 1}, "3600"
    refused(user("import", "hf:Qwen/Tiny"), "try again in 60 seconds or later")


def test_interrupted_and_repeated(hub, user):
    """Ctrl-C, while the second host takes its time: what came is not fetched again."""
    big = hubs.File(blob(12 * MIB + 5, 4), lfs=True)
    hub.repos["Qwen/Tiny"] = repo = hubs.Repo({**files(), "model.safetensors": big})
    hub.held_from = 8 * MIB
    client, came = user.start("pull", "--json", "hf:Qwen/Tiny"), 0
    for line in client.stdout:
        told = json.loads(line)
        if told["name"].endswith("/model.safetensors"):
            came = told["progress"]
            if came >= 4 * MIB:
                break
    os.killpg(client.pid, signal.SIGINT)
    client.communicate(timeout=SOON)
    assert came >= 4 * MIB and client.returncode == -signal.SIGINT
    hub.go.set()
    again = user("pull", "--json", "hf:Qwen/Tiny")
    assert again.returncode == 0, again.stderr
    done = {told["path"].split("/")[-1]: told for told in map(json.loads, again.stdout.splitlines()) if "path" in told}
    assert {path.split("/")[-1] for path in repo.files} == set(done)
    assert done["model.safetensors"]["fetched"] <= len(big.data) - came
    assert done["README.md"]["fetched"] == done["config.json"]["fetched"] == 0
    assert user.digests("hf:Qwen/Tiny")["model.safetensors"] == big.sha256


# ---- tokens ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("by", ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HOME"])
def test_what_is_gated_needs_a_token(hub, user, folder, by):
    refused(user("import", "hf:meta/Gated"), "not everybody may read it", "HF_TOKEN")
    refused(user("import", "hf:meta/Gated", HF_TOKEN=OTHER_TOKEN), "accept the model's terms at",
            "/meta/Gated")
    place = {"HF_TOKEN_PATH": "t", "HF_HOME": "token", "HOME": ".cache/huggingface/token"}.get(by)
    if place:
        path = os.path.join(folder, place)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(hubs.TOKEN + "\n")
        os.chmod(path, 0o644)
    env = {by: {"HF_TOKEN": hubs.TOKEN, "HF_TOKEN_PATH": os.path.join(folder, "t")}.get(by, folder)}
    result = user("pull", "hf:meta/Gated", **env)
    assert result.returncode == 0, result.stderr
    assert ("others may read this token" in result.stderr) == bool(place)
    assert hubs.TOKEN not in result.stderr
    assert user("imports").stdout.count("gated") == 1
    # The token does not leave the hub.
    assert hub.requests("cdn") and all(token is None for _, _, token in hub.requests("cdn"))


def test_what_everybody_may_read_stays_so(hub, user):
    assert user("import", "hf:Qwen/Tiny", HF_TOKEN=hubs.TOKEN).returncode == 0
    assert "gated" not in user("imports").stdout
    assert all(token is None for _, _, token in hub.requests())


def test_private(hub, user):
    refused(user("import", "hf:me/Private"), "it needs a token, or there is no such model")
    refused(user("import", "hf:me/Private", HF_TOKEN=OTHER_TOKEN), "no such model", "is private")
    refused(user("import", "hf:me/Private", HF_TOKEN="hf_nonsense"), "the token is not accepted")
    assert user("import", "hf:me/Private", HF_TOKEN=hubs.TOKEN).returncode == 0


# ---- what does not ---------------------------------------------------------------------------------

def test_what_is_not_there(hub, user):
    refused(user("import", "hf:Qwen/None", HF_TOKEN=hubs.TOKEN), "no such model or revision")
    refused(user("import", "hf:Qwen/Tiny@v2"), "no such model or revision", "Invalid rev id: v2")
    refused(user("import", "hf:Qwen/Tiny/nope"), "no such file in Qwen/Tiny at main")
    refused(user("import", "hf:Qwen"), "ORG/REPO")
    refused(user("import", "xy:Qwen/Tiny"), "nothing that can be imported", "hf:ORG/REPO")
    refused(user("import", "hf:Qwen/Tiny", HF_ENDPOINT="https://127.0.0.1:1"), "127.0.0.1:1",
            "onnect")
    refused(user("import", "hf:Qwen/Tiny", HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE")


def test_the_list_goes_on_nowhere_else(hub, user):
    hub.page, hub.next_base = 1, hub.cdn_url
    refused(user("import", "hf:Qwen/Tiny"), "goes on at another host", hub.cdn_url)
    assert not hub.requests("cdn")


def test_the_token_goes_on_nowhere_else(hub, user):
    """The hub leads to another host, which has a next page of its own."""
    def elsewhere(self, name, repo, commit, query):
        self.reply(307, Location=f"{self.hub.cdn_url}/api/models/{name}/tree/{commit}")

    def pages(self, path, quoted, query):
        files = [entry for entry in self.hub.repos["me/Private"].entries() if entry["type"] == "file"]
        self.reply_json(files[:1], Link=f'<{self.hub.cdn_url}/more>; rel="next"')

    hub.api.RequestHandlerClass.tree, hub.cdn.RequestHandlerClass.answer = elsewhere, pages
    refused(user("import", "hf:me/Private", HF_TOKEN=hubs.TOKEN), "goes on at another host")
    assert hub.requests("cdn") and all(token is None for _, _, token in hub.requests("cdn"))


def test_other_bytes_than_the_git_blob(hub, user):
    hub.repos["Qwen/Tiny"].files["config.json"].lie = b'{"model_type": "evil"}\n'
    hub.missing.add("README.md")
    result = user("import", "hf:Qwen/Tiny")
    assert result.returncode == 1 and "2 files," in result.stdout
    assert "config.json: " in result.stderr and "README.md cannot be had" in result.stderr
    # What was left out comes with the next one.
    hub.repos["Qwen/Tiny"].files["config.json"].lie = None
    hub.missing.clear()
    assert set(user.digests("hf:Qwen/Tiny")) == set(hub.repos["Qwen/Tiny"].files)


def test_other_bytes_than_the_lfs_oid(hub, user):
    file = hub.repos["Qwen/Tiny"].files["onnx/model 1.onnx"]
    file.lie = file.data[:-1] + b"!"
    result = user("pull", "hf:Qwen/Tiny")
    assert result.returncode == 1 and len(result.stdout.splitlines()) == 3
    assert "onnx/model 1.onnx: no source gave what is right" in result.stderr
    assert file.sha256 not in result.stdout


# ---- through a daemon ------------------------------------------------------------------------------

def test_the_daemon_shows_names(hub, user, mount, certificate):
    mounted = mount(f"[import]\nallow-private = yes\nca-file = {certificate.ca}\n")
    user.store = mounted.store
    assert user("import", "hf:Qwen/Tiny").returncode == 0
    repo = hub.repos["Qwen/Tiny"]
    path = mounted.path("name", "hf", f"Qwen/Tiny@{repo.commit}", "model.safetensors")
    with open(path, "rb") as file:
        assert file.read() == repo.files["model.safetensors"].data
    os.chmod(mounted.store, 0o711)
    result = cli.weightfs("pull", "--store", mounted.store, "hf:meta/Gated", uid=ALICE,
                          env={**user.env, "HF_TOKEN": hubs.TOKEN, "SSL_CERT_FILE": certificate.ca,
                               "HOME": "/"})
    assert result.returncode == 0 and "not pinned" in result.stderr, result.stderr
    # It is Alice's alone.
    assert "gated" not in user("imports").stdout
    refused(user("pull", "hf/meta/Gated"), "no catalog has such a name")
    refused(user("pull", "hub/meta/Gated"), "no catalog is called hub")
