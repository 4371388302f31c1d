# SPDX-License-Identifier: Apache-2.0
"""name/ and hub/: the objects of a signed catalog by their names, and as Hugging Face's cache has them."""

import ctypes
import errno
import hashlib
import os
import re
import stat

import pytest

from harness import cli, process, reader
from harness.catalogs import Catalog
from harness.models import unknown_digest
from harness.paths import CHUNK

ALICE, BOB = 12001, 12002
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40
REPO = f"Qwen/Qwen3-0.6B@{COMMIT}"
HUB = "hub/models--Qwen--Qwen3-0.6B"
OPEN = "caller any is local\nallow local to any with list\n"


def line(*names, seed=None, size=5):
    """An object that nobody has, by its names."""
    return {"sha256": unknown_digest(seed or names[0]), "size": size, "urls": ["nowhere"], "names": list(names)}


def entry(model, *names):
    return {"sha256": model.sha256, "size": model.size, "fsverity": model.fsverity,
            "urls": [f"f/{model.fsverity}"], "tree": f"f/{model.fsverity}.vtree", "names": list(names)}


@pytest.fixture
def catalog(folder):
    made = []

    def make(name="hub", **keys):
        root = os.path.join(folder, f"catalog{len(made)}")
        os.mkdir(root)
        made.append(Catalog(os.path.join(folder, f"keys{len(made)}"), root, name=name, **keys))
        return made[-1]
    return make


@pytest.fixture
def named(mount, server):
    """A mount with catalogs: (catalog, entries), as if they had been fetched."""
    def make(*kept, policy=OPEN, **kwargs):
        sections = [one.section for one, _ in kept]
        mounted = mount(server, *sections, policy=policy, **kwargs)
        mounted.stop()
        for one, entries in kept:
            one.keep(mounted.store, entries)
        mounted.start()
        return mounted
    return make


def why(call, *args):
    """The name of the errno that CALL fails with; None: it does not."""
    try:
        call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def names_in(path):
    return sorted(os.listdir(path))


# ---- files are those of hash/ ----------------------------------------------------------------------

def test_a_name_is_the_object(named, catalog, small, medium):
    mounted = named((catalog(), [entry(small, f"{REPO}/config.json", "tags/small"),
                                 entry(medium, f"{REPO}/weights/model.safetensors")]))
    assert names_in(mounted.point) == ["hash", "hub", "name", "origin"]
    assert os.readlink(mounted.path("name")) == "origin/0/local/name"
    assert os.readlink(mounted.path("hub")) == "origin/0/local/hub"
    assert names_in(mounted.path("name")) == ["hub"]
    assert names_in(mounted.path("name/hub")) == ["Qwen", "tags"]
    assert names_in(mounted.path("name/hub", REPO)) == ["config.json", "weights"]
    # Nothing has been looked up, so nothing is stored, or asked for.
    assert names_in(mounted.path("hash")) == []

    path = mounted.path("name/hub", REPO, "weights/model.safetensors")
    found, by_digest = os.stat(path), os.stat(mounted.object(medium.sha256))
    assert (found.st_size, found.st_ino, found.st_mode) == (medium.size, by_digest.st_ino, stat.S_IFREG | 0o444)
    assert reader.whole(path)["sha256"] == medium.sha256
    assert os.getxattr(path, "user.weightfs.digest").decode() == medium.sha256
    assert os.stat(mounted.path("name/hub/tags/small")).st_ino == \
        os.stat(mounted.path("name/hub", REPO, "config.json")).st_ino
    for folder in ("name", "name/hub", f"name/hub/{REPO}", "hub", HUB, f"{HUB}/snapshots/{COMMIT}"):
        at = os.stat(mounted.path(folder))
        assert stat.S_ISDIR(at.st_mode) and at.st_mode & 0o777 == 0o555
        listed = {one.name: one.inode() for one in os.scandir(mounted.path(os.path.dirname(folder)))}
        if os.path.dirname(folder):
            assert listed[os.path.basename(folder)] == at.st_ino
        assert os.access(mounted.path(folder), os.R_OK | os.X_OK) and not os.access(mounted.path(folder), os.W_OK)
        assert os.statvfs(mounted.path(folder)).f_files == os.statvfs(mounted.path("hash")).f_files
        assert os.getxattr(mounted.path(folder), "user.weightfs.origin") == b"local"
        assert why(os.mkdir, mounted.path(folder, "new")) == "EROFS"
    for missing in ("name/nothing", "name/hub/Qwe", "name/hub/Qwen/Qwen3-0.6B", f"name/hub/{REPO}/config.jso",
                    f"name/hub/{REPO}/config.json.bak", "hub/nothing", "hub/models--Qwen--Qwen3", f"{HUB}/blobs",
                    f"{HUB}/snapshots/{OTHER_COMMIT}", f"{HUB}/refs/v1", "hub/models----", "hub/models--Qwen"):
        assert why(os.stat, mounted.path(missing)) == "ENOENT", missing
    assert why(os.stat, mounted.path("name/hub", REPO, "config.json/x")) == "ENOTDIR"
    # A kept path of a folder serves, too.
    kept = os.open(mounted.path("name/hub", REPO), os.O_PATH)
    with open("config.json", "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=kept)) as file:
        assert hashlib.sha256(file.read()).hexdigest() == small.sha256
    os.close(kept)


def test_a_mount_of_one_origin_has_folders(named, catalog, small):
    mounted = named((catalog(), [entry(small, f"{REPO}/config.json")]), options=["origin=https://app.example.com"],
                    policy="allow https://app.example.com to any with list\n")
    assert names_in(mounted.point) == ["hash", "hub", "name"]
    assert not os.path.islink(mounted.path("name"))
    assert reader.whole(mounted.path("name/hub", REPO, "config.json"))["sha256"] == small.sha256
    assert reader.whole(mounted.path(HUB, "snapshots", COMMIT, "config.json"))["sha256"] == small.sha256
    assert names_in(mounted.path("name/hub/Qwen")) == [os.path.basename(REPO)]


# ---- who sees what ---------------------------------------------------------------------------------

def test_a_name_that_may_not_be_opened_is_not_there(named, catalog, small, medium):
    entries = [entry(small, "open/a/x", "mixed/x"), entry(medium, "closed/a/x", "mixed/y"), line("asked/a/x", "mixed/z")]
    secret, asked = f"sha256-{medium.sha256}", f"sha256-{entries[2]['sha256']}"
    mounted = named((catalog(), entries), policy=f"""
caller uid {ALICE} is alice
caller uid {BOB} is bob
caller uid 0 is root
deny alice to {secret}
ask alice to {asked}
allow alice to any with list
allow bob to {secret}
""")
    os.chmod(mounted.store, 0o711)

    def listing(uid, path):
        done = process.run(process.as_user(uid, ["ls", mounted.path(path)]))
        return done.stdout.split() if done.returncode == 0 else done.stderr.strip().rsplit(": ", 1)[-1]

    def stated(uid, path):
        done = process.run(process.as_user(uid, ["stat", "-c", "%F", mounted.path(path)]))
        return done.stdout.strip() or done.stderr.strip().rsplit(": ", 1)[-1]

    gone, asks = "No such file or directory", "Permission denied"
    assert listing(ALICE, "name/hub") == ["mixed", "open"]  # what is asked about is not listed, as in hash/
    assert listing(ALICE, "name/hub/mixed") == ["x"]
    assert stated(ALICE, "name/hub/open/a/x") == "regular file"
    assert stated(ALICE, "name/hub/closed") == stated(ALICE, "name/hub/closed/a/x") == gone
    assert stated(ALICE, "name/hub/mixed/y") == gone
    assert stated(ALICE, "name/hub/asked/a") == "directory"
    assert stated(ALICE, "name/hub/asked/a/x") == asks
    # Without `list` nothing is listed, and all is found.
    assert listing(BOB, "name") == listing(BOB, "name/hub/closed") == []
    assert stated(BOB, "name/hub/closed/a/x") == "regular file"
    assert stated(BOB, "name/hub/open") == gone
    assert stated(BOB, "hub/models--closed--a/snapshots") == "directory"
    assert stated(BOB, "hub/models--open--a") == gone
    # To whom nothing is allowed nothing is there; nor to those without an origin.
    assert listing(0, "name") == listing(13999, "name") == listing(13999, "hub") == []
    assert stated(0, "name/hub") == stated(13999, "name/hub") == gone
    assert os.readlink(mounted.path("name")) == "origin/0/root/name"

    # What is granted is there at once, and listed.
    cli.ok("grant", "--store", mounted.store, "--uid", str(ALICE), "alice", asked)
    assert stated(ALICE, "name/hub/asked/a/x") in ("regular file", gone)  # no source has it
    start = len(mounted.log())
    mounted.set_policy(f"caller uid {ALICE} is alice\nallow alice to {secret} with list\n")
    mounted.wait_for_log("policy .* loaded", start)
    assert listing(ALICE, "name/hub") == ["closed", "mixed"]
    assert listing(ALICE, "name/hub/mixed") == ["y"]
    assert stated(ALICE, "name/hub/open") == gone
