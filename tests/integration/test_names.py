# SPDX-License-Identifier: Apache-2.0
"""name/ and hub/: the objects of a signed catalog by their names, and as Hugging Face's cache has them."""

import ctypes
import errno
import hashlib
import os
import re
import stat

import pytest

from harness import caches, cli, process, reader
from harness.catalogs import Catalog, entry
from harness.models import unknown_digest

ALICE, BOB = 12001, 12002
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40
REPO = f"Qwen/Qwen3-0.6B@{COMMIT}"
HUB = "hub/models--Qwen--Qwen3-0.6B"
OPEN = "caller any is local\nallow local to any with list\n"


def line(*names, seed=None, size=5):
    """An object that nobody has, by its names."""
    return {"sha256": unknown_digest(seed or names[0]), "size": size, "urls": ["nowhere"], "names": list(names)}


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


# ---- explain ---------------------------------------------------------------------------------------

def test_explain_knows_names(named, catalog, small, medium):
    mounted = named((catalog(), [entry(small, f"{REPO}/config.json"), entry(medium, f"{REPO}/secret")]),
                    policy=f"caller any is local\ndeny local to sha256-{medium.sha256}\nallow local to any with list\n")
    for root in (f"name/hub/{REPO}", f"{HUB}/snapshots/{COMMIT}"):
        done = cli.weightfs("explain", mounted.path(root, "config.json"))
        assert done.returncode == 0, done.stderr
        assert re.search(rf"^name +{root}/config.json is {small.sha256}, says catalog hub$", done.stdout, re.M)
        done = cli.weightfs("explain", mounted.path(root, "secret"))
        assert done.returncode == 1 and f"is {medium.sha256}," in done.stdout
        assert f"{mounted.policy}:2: deny" in done.stdout and "ENOENT: denied" in done.stdout
        done = cli.weightfs("explain", mounted.path(root, "nothing"))
        assert done.returncode == 1 and "ENOENT: there is no such name" in done.stdout
        done = cli.weightfs("explain", mounted.path(root))
        assert done.returncode == 0 and "objects are looked up as this origin" in done.stdout
    # Nothing was looked up for that.
    assert names_in(mounted.path("hash")) == []
    cli.ok("pull", "--store", mounted.store, mounted.path("name/hub", REPO, "config.json"))
    assert cli.record_of(mounted.store, small)["state"] == "complete"


# ---- hub/ ------------------------------------------------------------------------------------------

def cached_file(hub, repo, filename, revision="main"):
    """Where huggingface_hub finds a file in its cache when it is offline: a commit is taken as it is, anything else is
    what the file in refs/ says.
    """
    folder = os.path.join(hub, "--".join(["models", *repo.split("/")]))
    ref = os.path.join(folder, "refs", revision)
    if not re.fullmatch("[0-9a-f]{40}", revision) and os.path.isfile(ref):
        with open(ref) as file:
            revision = file.read()
    if revision not in os.listdir(os.path.join(folder, "snapshots")):
        return None
    path = os.path.join(folder, "snapshots", revision, filename)
    return path if os.path.isfile(path) else None


def made_up(*files):
    """The commit of a repository that has none: of (path, model), sorted."""
    text = "".join(f"{path}\0{model.sha256}\0" for path, model in files)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def test_the_cache_of_huggingface(named, catalog, small, medium):
    first = catalog("first", priority=10)
    second = catalog("second")
    mounted = named((second, [entry(small, f"org/both@{COMMIT}/config.json", f"org/one@{COMMIT}/config.json"),
                              entry(medium, f"org/both@{COMMIT}/model/weights", "org/tagged@v1.0/x", "top", "org/file",
                                    "org/odd--name/x", "or--g/name/x")]),
                    (first, [entry(small, "org/both/config.json", f"org/both@{OTHER_COMMIT}/config.json")]))
    hub = mounted.path("hub")
    assert names_in(hub) == ["models--org--both", "models--org--one", "models--org--tagged"]
    both = made_up(("config.json", small))
    assert names_in(os.path.join(hub, "models--org--both/snapshots")) == sorted([both, COMMIT, OTHER_COMMIT])
    # The first catalog says what is main; in the other there is one revision.
    assert cached_file(hub, "org/both", "config.json") == \
        os.path.join(hub, "models--org--both/snapshots", both, "config.json")
    assert reader.whole(cached_file(hub, "org/both", "config.json"))["sha256"] == small.sha256
    assert reader.whole(cached_file(hub, "org/both", "model/weights", COMMIT))["sha256"] == medium.sha256
    assert cached_file(hub, "org/both", "model/weights") is None
    assert cached_file(hub, "org/one", "config.json").split("/")[-2] == COMMIT
    tagged = made_up(("x", medium))
    assert names_in(os.path.join(hub, "models--org--tagged/refs")) == ["main", "v1.0"]
    assert cached_file(hub, "org/tagged", "x", "v1.0") == cached_file(hub, "org/tagged", "x")
    assert cached_file(hub, "org/tagged", "x").split("/")[-2] == tagged
    assert cached_file(hub, "org/tagged", "x", "v2") is None

    ref = os.path.join(hub, "models--org--tagged/refs/main")
    at = os.stat(ref)
    assert (stat.S_ISREG(at.st_mode), at.st_size, at.st_mode & 0o777, at.st_nlink) == (True, 40, 0o444, 1)
    assert not os.access(ref, os.X_OK) and why(open, ref, "w") == "EROFS"
    with open(ref, "rb", buffering=0) as file:
        assert (file.read(7), file.read(100), file.read(1)) == (tagged[:7].encode(), tagged[7:].encode(), b"")
        assert why(os.getxattr, ref, "user.weightfs.digest") == "ENODATA"
    kept = os.open(ref, os.O_PATH)
    with open(f"/proc/self/fd/{kept}") as file:
        assert file.read() == tagged
    os.close(kept)


def test_what_was_adopted_looks_as_it_did(mount, folder, server):
    """A cache of huggingface_hub's comes back in hub/: for its user alone, or for all, together with what is theirs."""
    mounted = mount(server, policy=OPEN)
    os.chmod(mounted.store, 0o711)
    for uid, name, commit, options in ((0, "mine", COMMIT, []), (0, "ours", OTHER_COMMIT, ["--everybody"])):
        cache = os.path.join(folder, name)
        caches.hub(cache, "org/tiny", commit, {f"{name}.json": name.encode(), "sub/w": name.encode() * 99},
                   refs=("main", name))
        cli.ok("adopt", "--store", mounted.store, *options, cache)
    hub = mounted.path("hub")
    tiny = os.path.join(hub, "models--org--tiny")
    assert names_in(os.path.join(tiny, "snapshots")) == [COMMIT, OTHER_COMMIT]
    assert names_in(os.path.join(tiny, "refs")) == ["main", "mine", "ours"]
    for name, commit in (("mine", COMMIT), ("ours", OTHER_COMMIT)):
        with open(cached_file(hub, "org/tiny", f"{name}.json", name)) as file:
            assert file.read() == name
        assert cached_file(hub, "org/tiny", "sub/w", name).split("/")[-3] == commit
    assert names_in(mounted.path("name")) == ["hf"]
    assert names_in(mounted.path("name/hf/org")) == [f"tiny@{COMMIT}", f"tiny@{OTHER_COMMIT}"]
    done = process.run(process.as_user(ALICE, ["ls", tiny.replace(hub, mounted.path("hub")) + "/snapshots",
                                               mounted.path("name/hf/org")]), check=True)
    assert COMMIT not in done.stdout and done.stdout.count(OTHER_COMMIT) == 2
    cli.ok("imports", "--store", mounted.store, "--remove", f"hf/org/tiny@{COMMIT}")
    assert why(os.stat, mounted.path("name/hf/org", f"tiny@{COMMIT}")) == "ENOENT"
    assert names_in(os.path.join(tiny, "refs")) == ["main", "ours"]
    with open(os.path.join(tiny, "refs", "main")) as file:
        assert file.read() == OTHER_COMMIT


# ---- catalogs change while they are looked at ------------------------------------------------------

class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_ushort),
                ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]


class Directory:
    """opendir(3) and its places."""

    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.readdir.restype = ctypes.POINTER(Dirent)
    libc.telldir.restype = ctypes.c_long

    def __init__(self, path):
        self.stream = ctypes.c_void_p(self.libc.opendir(os.fsencode(path)))
        assert self.stream

    def read(self, count=1 << 30):
        names = []
        while len(names) < count:
            entry = self.libc.readdir(self.stream)
            if not entry:
                break
            if entry.contents.name not in (b".", b".."):
                names.append(entry.contents.name.decode())
        return names

    def tell(self):
        return self.libc.telldir(self.stream)

    def seek(self, place):
        self.libc.seekdir(self.stream, ctypes.c_long(place))

    def rewind(self):
        self.libc.rewinddir(self.stream)

    def close(self):
        self.libc.closedir(self.stream)


def test_places_in_a_listing_hold(catalog, mount, server, nginx, folder):
    """Every name that is there all the time is listed once, whatever comes and goes; in the order of the names."""
    root = os.path.join(folder, "published")
    os.mkdir(root)
    one = Catalog(os.path.join(folder, "keys"), root, nginx(root).url, refresh="0")
    before = [f"m{i:05}" for i in range(6000)]
    gone, stays = set(before[1::3]), [name for i, name in enumerate(before) if i % 3 != 1]
    come = [f"m{i:05}-new" for i in range(0, 6000, 2)]
    one.publish([line(f"org/{name}/x", seed=name) for name in before], serial=1)
    mounted = mount(server, one.section, policy=OPEN)
    cli.ok("catalog", "refresh", "--store", mounted.store)
    listing = Directory(mounted.path("name/hub/org"))
    assert listing.read() == before
    listing.rewind()
    head = listing.read(2500)
    place = listing.tell()
    assert head == before[:2500] and listing.read(3) == before[2500:2503]
    listing.seek(place)
    assert listing.read() == before[2500:]
    listing.rewind()
    assert listing.read(2500) == head

    kept = os.open(mounted.path("name/hub/org", before[1]), os.O_PATH)
    one.publish([line(f"org/{name}/x", seed=name) for name in stays + come], serial=2)
    cli.ok("catalog", "refresh", "--store", mounted.store)
    rest = listing.read()
    assert len(set(rest)) == len(rest)
    # What libc had read already is what was there; behind that all is new.
    assert [name for name in rest if name in set(stays)] == [name for name in stays if name > head[-1]]
    assert not gone & set(rest[1000:]) and set(rest) & set(come)
    listing.seek(place)
    assert listing.read() == sorted(name for name in stays + come if name > head[-1])
    listing.rewind()
    assert listing.read() == sorted(stays + come)
    listing.close()
    # What it named is gone at once, whatever the kernel had learned.
    assert why(os.stat, mounted.path("name/hub/org", before[1])) == "ENOENT"
    assert os.fstat(kept).st_mode & 0o170000 == stat.S_IFDIR and os.listdir(f"/proc/self/fd/{kept}") == []
    os.close(kept)


def test_a_folder_full_of_what_is_denied(named, catalog, small):
    """Whether it is there takes a look at all of it: others are served meanwhile, and it is looked at once."""
    entries = [line(f"big/m{i}/x", seed=str(i)) for i in range(30000)] + [entry(small, "big/z/x", "small/x")]
    mounted = named((catalog(), entries), policy=f"""
caller uid {ALICE} is alice
caller any is local
allow alice to sha256-{small.sha256} with list
allow local to sha256-{unknown_digest("nobody")} with list
""")
    assert why(os.stat, mounted.path("name/hub")) == "ENOENT"
    assert names_in(mounted.path("name")) == []
    for _ in range(3):
        done = process.run(process.as_user(ALICE, ["ls", mounted.path("name/hub"), mounted.path("name/hub/big")]))
        assert done.stdout.split("\n\n")[0].split()[1:] == ["big", "small"] and done.stdout.rstrip().endswith("z"), done
    assert reader.whole(mounted.path("name/hub/big/z/x"), uid=ALICE)["sha256"] == small.sha256
