# SPDX-License-Identifier: Apache-2.0
"""What other programs keep on the disk comes into the store, and links take its place."""

import fcntl
import json
import os
import random
import signal
import struct
import subprocess

import pytest

from conftest import ALICE, BOB
from harness import caches, cli, imports as imports_by_hand, process
from harness.disk import Disk
from harness.paths import CHUNK, MIB, WEIGHTFS
from harness.poll import wait_until

REVISION, OTHER = "a" * 40, "b" * 40
GGUF = "application/vnd.ollama.image.model"
LICENSE = "application/vnd.ollama.image.license"


def data(seed, size=3 * CHUNK + 17):
    return random.Random(seed).randbytes(size)


FILES = {"config.json": b'{"model_type":"test"}', "model.safetensors": data("weights"),
         "onnx/model.onnx": data("onnx", 5000)}
LARGE = ("model.safetensors", "onnx/model.onnx")


@pytest.fixture
def hub(folder):
    path = os.path.join(folder, "hub")
    caches.hub(path, "org/tiny", REVISION, FILES, LARGE, refs=("main", "refs/pr/1"))
    return path


@pytest.fixture
def store(folder):
    return os.path.join(folder, "store")


def adopt(store, *arguments, **kwargs):
    """The sums, and what was said."""
    result = cli.weightfs("adopt", "--json", "--store", store, *arguments, **kwargs)
    return json.loads(result.stdout.splitlines()[-1]), result


def adopted(store, *arguments):
    sums, result = adopt(store, *arguments)
    assert result.returncode == 0, result.stderr
    assert sums["failed"] == 0
    return sums


def imports(store, **kwargs):
    lines = cli.ok("imports", "--json", "--store", store, **kwargs).splitlines()
    return {f"{line['name']}/{line['folder']}": line for line in map(json.loads, lines)}


def kept(store, uid, name):
    """Names and digests as they are written down."""
    with open(os.path.join(store, "imports", str(uid), f"{name}.jsonl")) as file:
        lines = [json.loads(line) for line in file][1:]
    return {name: line["sha256"] for line in lines for name in line["names"]}


def refs(store, uid, name):
    folder = os.path.join(store, "imports", str(uid))
    file, = [entry for entry in os.listdir(folder) if entry.startswith(f"{name}.") and entry.endswith(".json")]
    with open(os.path.join(folder, file)) as text:
        return json.load(text)["refs"]


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_hub(hub, store, mount, daemon):
    mounted = mount(store=store) if daemon else None
    # A second revision with the same weights, which are one file.
    caches_of = os.path.join(hub, "models--org--tiny", "snapshots", OTHER)
    os.makedirs(caches_of)
    os.symlink("../../blobs/" + caches.sha256(FILES["model.safetensors"]), os.path.join(caches_of, "model.safetensors"))
    sums = adopted(store, hub)
    assert sums["files"] == 4 and sums["moved"] == 0
    assert {record["digest"] for record in cli.listed(store)} == {caches.sha256(text) for text in FILES.values()}
    names = kept(store, 0, "hf")
    assert names == {f"org/tiny@{REVISION}/{name}": caches.sha256(text) for name, text in FILES.items()} | \
        {f"org/tiny@{OTHER}/model.safetensors": caches.sha256(FILES["model.safetensors"])}
    assert refs(store, 0, "hf") == {"org/tiny": {"main": REVISION, "refs/pr/1": REVISION}}
    assert imports(store)[f"hf/org/tiny@{REVISION}/"]["files"] == 3
    # Once more nothing is new, and nothing is there twice.
    again = adopted(store, hub)
    assert again["duplicates"] == sum(map(len, FILES.values())) and again["shared"] == 0
    assert kept(store, 0, "hf") == names
    if mounted:
        snapshot = mounted.path("hub", "models--org--tiny", "snapshots", REVISION)
        for name, text in FILES.items():
            assert caches.read(mounted.path("name", "hf", f"org/tiny@{REVISION}", name)) == caches.sha256(text)
            assert caches.read(os.path.join(snapshot, name)) == caches.sha256(text)
    cli.ok("imports", "--store", store, "--remove", f"hf/org/tiny@{OTHER}/")
    assert set(imports(store)) == {f"hf/org/tiny@{REVISION}/"}
    if mounted:
        assert os.listdir(mounted.path("name", "hf", "org")) == [f"tiny@{REVISION}"]


def test_ollama_and_a_folder(folder, store):
    models = os.path.join(folder, "models")
    weights, terms = data("gguf"), b"terms\n"
    manifest, _ = caches.ollama(models, "tiny", "1b", [(GGUF, weights), (LICENSE, terms)])
    adopted(store, models)
    names = kept(store, 0, "ollama")
    assert len(names) == 2
    assert sorted(names.values()) == sorted([caches.sha256(weights), caches.sha256(terms)])
    assert all(f"@{manifest}/" in name for name in names)
    local = os.path.join(folder, "zoo")
    caches.write(os.path.join(local, "a", "same.bin"), weights)
    caches.write(os.path.join(local, "b.bin"), b"b")
    sums = adopted(store, local)
    assert sums["duplicates"] == len(weights)
    assert kept(store, 0, "local") == {"zoo/a/same.bin": caches.sha256(weights), "zoo/b.bin": caches.sha256(b"b")}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_blob_that_is_not_what_it_is_called(hub, store, name):
    text = FILES[name]
    path = os.path.join(hub, "models--org--tiny", "blobs",
                        caches.sha256(text) if name in LARGE else caches.git_blob(text))
    with open(path, "r+b") as file:
        file.write(b"damage")
    before = caches.read(path)
    sums, result = adopt(store, hub)
    assert result.returncode == 1 and (sums["failed"], sums["files"]) == (1, 2)
    assert path in result.stderr and "not what it is called" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert caches.read(path) == before
    assert set(kept(store, 0, "hf")) == {f"org/tiny@{REVISION}/{other}" for other in FILES if other != name}
    assert before not in {record["digest"] for record in cli.listed(store)}


def test_what_is_not_there_keeps_nobody_from_the_rest(folder, hub, store):
    caches.write(os.path.join(folder, "zoo", "a.bin"), b"a")
    missing = os.path.join(folder, ".ollama", "models")
    sums, result = adopt(store, missing, hub, os.path.join(folder, "zoo"))
    assert result.returncode == 1 and (sums["files"], sums["failed"]) == (len(FILES) + 1, 1)
    assert result.stderr.splitlines() == [f"weightfs: {missing}: No such file or directory"]
    # Whoever reads it is told where it is.
    said = cli.ok("adopt", "--store", store, os.path.join(folder, "zoo")).splitlines()
    assert said[0] == "name/local/zoo" and said[1].startswith("1 file, 1 B; ")


def test_links_lead_nowhere(folder, hub, store):
    """Whoever may write to a cache cannot have root read another file by it."""
    base = os.path.join(hub, "models--org--tiny")
    secret = os.path.join(folder, "secret")
    os.rename(os.path.join(base, "blobs"), secret)
    os.symlink(secret, os.path.join(base, "blobs"))
    caches.write(os.path.join(folder, "zoo", "a.bin"), b"a")
    os.symlink(secret, os.path.join(folder, "zoo", "folder"))
    os.symlink("/etc/shadow", os.path.join(folder, "zoo", "file"))
    sums, result = adopt(store, hub)
    assert result.returncode == 1 and (sums["files"], sums["failed"]) == (0, 3)
    assert adopted(store, os.path.join(folder, "zoo"))["files"] == 1
    assert set(kept(store, 0, "local")) == {"zoo/a.bin"}
    assert [record["digest"] for record in cli.listed(store)] == [caches.sha256(b"a")]


def shared_extents(path):
    """Of FIEMAP: whether all of PATH's extents are shared."""
    with open(path, "rb") as file:
        request = bytearray(struct.pack("=QQLLLL", 0, 1 << 62, 1, 0, 32, 0) + bytes(56 * 32))
        fcntl.ioctl(file, 0xC020660B, request)
    count = struct.unpack_from("=L", request, 20)[0]
    flags = [struct.unpack_from("=L", request, 32 + 56 * i + 40)[0] for i in range(count)]
    return count > 0 and all(flag & 0x2000 for flag in flags)


def test_links_that_stand_for_nothing(folder, store, mount):
    """A folder "hash" may be anybody's, and links may lead round and round."""
    weights = data("weights")
    false = os.path.join(folder, "hash", caches.sha256(weights))
    caches.write(false, b"short")
    zoo = os.path.join(folder, "zoo")
    os.makedirs(zoo)
    os.symlink(false, os.path.join(zoo, "model.bin"))
    os.symlink(false, os.path.join(zoo, "other.bin"))
    mounted = mount(store=store)
    sums, result = adopt(store, zoo)
    assert result.returncode == 1 and (sums["failed"], sums["files"]) == (2, 0)
    assert "does not lead into the mount" in result.stderr and imports(store) == {}
    models = os.path.join(folder, "models")
    caches.ollama(models, "tiny", "1b", [(GGUF, weights)])
    for name in "ab":
        os.symlink(".", os.path.join(models, "manifests", name))
    sums, result = adopt(mounted.store, models, timeout=60)
    assert sums["files"] == 1 and sums["failed"] == 0


@pytest.mark.parametrize("kind", ["xfs", "ext4"])
def test_reflinks(folder, kind):
    disk = Disk(folder, 400 * MIB, kind)
    disk.mount()
    try:
        hub, store = (os.path.join(disk.point, name) for name in ("hub", "store"))
        blobs = caches.hub(hub, "org/tiny", REVISION, FILES, LARGE)
        sums = adopted(store, hub)
        weights = caches.sha256(FILES["model.safetensors"])
        stored = os.path.join(store, "objects", weights[:2], weights)
        shared = kind == "xfs"
        assert sums["shared"] == (sum(map(len, FILES.values())) if shared else 0)
        assert shared_extents(stored) == shared_extents(blobs["model.safetensors"]) == shared
        assert os.stat(stored).st_nlink == 1 and os.stat(stored).st_ino != os.stat(blobs["model.safetensors"]).st_ino
    finally:
        disk.umount()


def test_others_are_told_who_may(hub, mount):
    mounted = mount()
    os.chmod(mounted.store, 0o711)
    sums, result = adopt(mounted.store, hub, uid=ALICE)
    assert result.returncode == 1 and "only for root and the owner of the store" in result.stderr
    assert sums["files"] == 0


# ---- links in the place of files -----------------------------------------------------------------

def test_move(hub, folder, mount):
    mounted = mount()
    base = os.path.join(hub, "models--org--tiny")
    kept_name = os.path.join(base, "blobs", caches.git_blob(FILES["config.json"]))
    os.link(kept_name, os.path.join(folder, "another name"))
    open_name = os.path.join(base, "blobs", caches.sha256(FILES["onnx/model.onnx"]))
    with open(open_name, "r+b"):
        sums, result = adopt(mounted.store, "--move", hub)
    assert result.returncode == 1 and sums["failed"] == 0 and sums["moved"] == 1, result.stderr
    assert f"{kept_name}: has 2 names" in result.stderr and f"{open_name}: is open for writing" in result.stderr
    weights = caches.sha256(FILES["model.safetensors"])
    assert os.readlink(os.path.join(base, "blobs", weights)) == mounted.object(weights)
    assert not os.path.islink(kept_name) and not os.path.islink(open_name)
    for name, text in FILES.items():
        assert caches.read(os.path.join(base, "snapshots", REVISION, name)) == caches.sha256(text)
    assert all(record["pinned"] for record in cli.listed(mounted.store))
    os.unlink(os.path.join(folder, "another name"))
    sums = adopted(mounted.store, "--move", hub)
    assert sums["moved"] == 2 and sums["files"] == 3
    assert len(os.listdir(os.path.join(base, "blobs"))) == 3
    assert adopted(mounted.store, "--move", hub)["moved"] == 0
    assert len(kept(mounted.store, 0, "hf")) == 3


def test_move_of_what_is_damaged(hub, mount):
    mounted = mount()
    adopted(mounted.store, hub)
    path = os.path.join(hub, "models--org--tiny", "blobs", caches.sha256(FILES["model.safetensors"]))
    with open(path, "r+b") as file:
        file.write(b"damage")
    before = caches.read(path)
    # The store has the right bytes, and still these ones are not thrown away.
    sums, result = adopt(mounted.store, "--move", hub)
    assert result.returncode == 1 and path in result.stderr and sums["moved"] == 2
    assert not os.path.islink(path) and caches.read(path) == before


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_the_store_is_left_alone(folder, mount, daemon):
    """It lies in what is adopted, as one in a home directory does."""
    home, other = os.path.join(folder, "home"), os.path.join(folder, "home", "of another daemon")
    caches.write(os.path.join(home, "a.bin"), data("a"))
    caches.write(os.path.join(folder, "b.bin"), data("b"))
    store = os.path.join(home, "store")
    mounted = mount(store=store) if daemon else None
    for at in (store, other):
        cli.ok("add", "--store", at, os.path.join(folder, "b.bin"))
    adopted(store, os.path.join(home, "a.bin"))  # so that there is an import, too

    def files():
        found = [os.path.join(path, name) for at in (store, other) for path, _, names in os.walk(at) for name in names]
        assert not any(map(os.path.islink, found))
        return [path for path in found if os.path.isfile(path)]

    a, b = caches.sha256(data("a")), caches.sha256(data("b"))
    sums, result = adopt(store, *["--move"] * daemon, home)
    assert result.returncode == 0 and (sums["files"], sums["failed"], sums["moved"]) == (1, 0, daemon), result.stderr
    assert f"{store}: is a store" in result.stderr and f"{other}: is a store" in result.stderr
    assert {record["digest"] for record in cli.listed(store)} == {a, b}
    inside = os.path.join(store, "objects", b[:2], b)
    for path in (store, os.path.join(store, "objects"), os.path.dirname(inside), inside, other):
        sums, result = adopt(store, *["--move"] * daemon, path)
        assert result.returncode == 1 and sums["files"] == sums["moved"] == 0
        assert "nothing of the store" in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr
    own = [path for path in files() if path.startswith(store + "/")]
    assert {os.path.relpath(path, store).split("/")[0] for path in own} >= {"imports", "objects", "lock"}
    for path in own:
        result = cli.weightfs("add", "--store", store, path)
        assert result.returncode == 1 and ("the store itself" in result.stderr or not os.path.exists(path)), result
    assert {record["digest"] for record in cli.listed(store)} == {a, b}
    if mounted:
        assert caches.read(mounted.object(b)) == b and caches.read(os.path.join(home, "a.bin")) == a
    files()


def test_move_needs_a_mount(hub, store):
    sums, result = adopt(store, "--move", hub)
    assert result.returncode == 1 and sums["moved"] == sums["files"] == 0


def test_killed_in_the_middle(folder, mount):
    mounted = mount()
    hub = os.path.join(folder, "hub")
    files = {f"part-{number:02}.bin": data(number, CHUNK) for number in range(24)}
    blobs = caches.hub(hub, "org/parts", REVISION, files, tuple(files))

    def moved():
        return sum(map(os.path.islink, blobs.values()))

    for goal in (2, 9, 17):
        child = process.spawn([WEIGHTFS, "adopt", "--move", "--store", mounted.store, hub],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: moved() >= goal or child.poll() is not None, "some of them are links")
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for name, path in blobs.items():
            assert caches.read(path) == caches.sha256(files[name])
    adopted(mounted.store, "--move", hub)
    assert moved() == len(files) == len(os.listdir(os.path.dirname(next(iter(blobs.values())))))
    for name, path in blobs.items():
        assert caches.read(path) == caches.sha256(files[name])
    assert len(kept(mounted.store, 0, "hf")) == len(files)


def injected(how, store, hub):
    """`adopt --move` while something happens to its own calls."""
    call = how.split(":")[0]
    return process.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={how}",
                        WEIGHTFS, "adopt", "--move", "--store", store, hub],
                       # LeakSanitizer does not work under strace.
                       env={**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})


STEPS = ["symlinkat:{}:when=1", "fsync:{}:when=1", "renameat2:{}:when=1", "fsync:{}:when=2"]


def test_at_each_step(folder, mount):
    """Killed, or refused by the disk: the name leads to the right bytes, and the next run leaves nothing else behind."""
    mounted = mount()
    for number, how in enumerate([step.format("signal=SIGKILL") for step in STEPS] + ["unlinkat:signal=SIGKILL:when=1"] +
                                 [step.format("error=EIO") for step in STEPS]):
        hub, text = os.path.join(folder, f"hub{number}"), data(how, 5000)
        path = caches.hub(hub, "org/one", REVISION, {"a.bin": text}, ("a.bin",), refs=())["a.bin"]
        result = injected(how, mounted.store, hub)
        assert result.returncode != 0, how
        if "error" in how:
            assert f"{path}: left where it is: Input/output error" in result.stderr, how
            assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)] and not os.path.islink(path), how
        assert caches.read(path) == caches.sha256(text), how
        adopt(mounted.store, "--move", hub)
        assert os.path.islink(path) and caches.read(path) == caches.sha256(text), how
        assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)], how


# ---- whose imports they are ----------------------------------------------------------------------

def give(mounted, caller, name="hf", text=None, **members):
    """The operation `import` by hand."""
    if text is None:
        text = imports_by_hand.text_of({"sha256": "ab" * 32, "size": 3, "names": [f"org/of-{caller}@1/file"],
                                        "urls": ["https://hub.example/file"]}, name=name)
    return imports_by_hand.give(mounted, caller, text, name, **members)


def test_users_see_their_own(mount):
    mounted = mount()
    os.chmod(mounted.store, 0o711)
    for uid in (ALICE, BOB):
        assert give(mounted, uid) == {"new": 1, "mountpoint": mounted.point}
        assert give(mounted, uid)["new"] == 0
    assert give(mounted, 0, everybody=True)["new"] == 1
    for uid in (ALICE, BOB):
        seen = imports(mounted.store, uid=uid)
        assert set(seen) == {f"hf/org/of-{uid}@1/", "hf/org/of-0@1/"}
        assert seen["hf/org/of-0@1/"]["everybody"]
    assert "error" in give(mounted, ALICE, everybody=True)
    assert "error" in give(mounted, ALICE, uid=BOB)
    # What belongs to others cannot be removed, either.
    as_alice = {"uid": ALICE}
    result = cli.weightfs("imports", "--store", mounted.store, "--remove", f"hf/org/of-{BOB}@1", **as_alice)
    assert result.returncode == 1
    cli.ok("imports", "--store", mounted.store, "--remove", f"hf/org/of-{ALICE}@1", **as_alice)
    assert set(imports(mounted.store, **as_alice)) == {"hf/org/of-0@1/"}
    assert f"hf/org/of-{BOB}@1/" in imports(mounted.store, uid=BOB)
    private = os.path.join(mounted.store, "imports", str(BOB), "hf.jsonl")
    assert process.run(["cat", private], **as_alice).returncode != 0


def test_what_is_refused(mount):
    mounted = mount()
    os.chmod(mounted.store, 0o711)
    assert "not a file in memory" in give(mounted, ALICE, text="")["error"]
    assert "line 1" in give(mounted, ALICE, text="no catalog\n")["error"]
    assert "is not what imports are called" in give(mounted, ALICE, name="../0")["error"]
    assert "gated needs a credential" in give(mounted, ALICE, gated=True)["error"]
    assert "one line" in give(mounted, ALICE, gated=True, authorization="a\r\nHost: evil")["error"]
    assert give(mounted, ALICE, gated=True, authorization="Bearer 1")["new"] == 1
    assert imports(mounted.store, uid=ALICE)[f"hf/org/of-{ALICE}@1/"]["gated"]
    folder = os.path.join(mounted.store, "imports", str(ALICE))
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert all(os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600 for name in os.listdir(folder))
