# SPDX-License-Identifier: Apache-2.0
"""`weightfs publish` and `weightfs catalog`, held against minisign, fsverity-utils, openssl and another JSON reader."""

import base64
import copy
import fcntl
import glob
import hashlib
import itertools
import json
import os
import pty
import random
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from harness import cli, process
from harness.disk import Disk
from harness.files import read, write
from harness.paths import BLOCK, CHUNK, LONG, MIB
from harness.poll import wait_until

URL = "https://models.example/store"
SIZES = [0, 1, BLOCK, BLOCK + 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17, MIB, 2 * MIB + 5, 3 * MIB]


def traced():
    """The environment of what strace runs, under which LeakSanitizer does not work."""
    return {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


# strace, of a run that cannot clone.
COPYING = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=ioctl:error=EOPNOTSUPP"]


class Key:
    def __init__(self, folder, name="publisher"):
        self.secret, self.public = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".pub")
        process.run(["minisign", "-G", "-W", "-p", self.public, "-s", self.secret], check=True)

    def lock(self, password):
        """With a password: minisign's format, but 2 MiB and 2^10 rounds of scrypt instead of a GiB and seconds."""
        comment, word = read(self.secret).split(b"\n")[:2]
        raw = base64.b64decode(word)
        salt, limits = b"s" * 32, (32768).to_bytes(8, "little") + (1 << 24).to_bytes(8, "little")
        inner = raw[54:126] + hashlib.blake2b(raw[:2] + raw[54:126], digest_size=32).digest()
        stream = hashlib.scrypt(password, salt=salt, n=1024, r=8, p=1, dklen=len(inner))
        locked = b"EdScB2" + salt + limits + bytes(a ^ b for a, b in zip(inner, stream))
        write(self.secret, comment + b"\n" + base64.b64encode(locked) + b"\n")


@pytest.fixture(scope="module")
def key(base):
    return Key(base)


class Publisher:
    """A folder of models, and what is made of it."""

    def __init__(self, folder, key):
        self.key = copy.copy(key)
        self.dir, self.out = os.path.join(folder, "models"), os.path.join(folder, "out")
        self.catalog = os.path.join(self.out, "catalog.jsonl")

    def args(self, *more, out=None):
        return ["publish", self.dir, "--url", URL, "--key", self.key.secret, "-o", out or self.out, *more]

    def run(self, *more, **kwargs):
        return cli.weightfs(*self.args(*more), **kwargs)

    def ok(self, *more, **kwargs):
        return json.loads(cli.ok(*self.args("--json", *more), **kwargs))

    def refused(self, *more, **kwargs):
        """The one line it says; nothing is published by it."""
        before = self.published()
        result = self.run(*more, **kwargs)
        assert result.returncode == 1 and result.stdout == "", result
        lines = [line for line in result.stderr.splitlines() if "hidden" not in line]
        assert len(lines) == 1, lines
        assert self.published() == before
        return lines[0]

    def published(self):
        return [read(path) if os.path.exists(path) else None
                for path in (self.catalog, self.catalog + ".minisig")]

    def lines(self, out=None):
        """The header, and the objects, by Python's JSON."""
        with open(os.path.join(out or self.out, "catalog.jsonl"), encoding="utf-8") as file:
            header, *objects = [json.loads(line) for line in file]
        return header, objects

    def names(self, out=None):
        return {name: line for line in self.lines(out)[1] for name in line["names"]}

    def check(self, serial=None):
        """The signature by minisign; every object by openssl and fsverity; no more than that is there."""
        process.run(["minisign", "-V", "-p", self.key.public, "-m", self.catalog], check=True)
        header, objects = self.lines()
        assert serial is None or header["serial"] == serial
        there = set()
        for line in objects:
            path = os.path.join(self.out, "objects", line["sha256"][:2], line["sha256"])
            there |= {path, path + ".vtree"}
            assert line["urls"] == [f"{URL}/objects/{line['sha256'][:2]}/{line['sha256']}"]
            assert line["tree"] == line["urls"][0] + ".vtree"
            assert line["size"] == os.path.getsize(path)
        paths = [os.path.join(self.out, "objects", line["sha256"][:2], line["sha256"]) for line in objects]
        found = process.run(["openssl", "dgst", "-sha256", "-r", *paths], check=True).stdout.splitlines()
        assert [text.split()[0] for text in found] == [line["sha256"] for line in objects]
        assert process.run(["fsverity", "digest", "--compact", *paths], check=True).stdout.split() == \
            [line["fsverity"] for line in objects]
        return there

    def objects(self):
        return set(glob.glob(os.path.join(self.out, "objects", "*", "*")))


@pytest.fixture
def publisher(folder, key):
    made = Publisher(folder, key)
    for number, size in enumerate(SIZES):
        data = random.Random(number).randbytes(size)
        write(f"{made.dir}/org{number % 3}/model{number}/model.safetensors", data)
        write(f"{made.dir}/org{number % 3}/model{number}/config.json", b"{}")
    return made


# ---- what is made ----------------------------------------------------------------------------------

def test_a_folder_of_ten_models(publisher, folder):
    report = publisher.ok("--name", "catalog", "--expires", "2031-02-03")
    assert (report["objects"], report["names"], report["hashed"], report["known"]) == (11, 20, 20, 0)
    header, objects = publisher.lines()
    assert header == {"weightfs-catalog": 1, "name": "catalog", "serial": report["serial"],
                      "expires": "2031-02-03T00:00:00Z"}
    assert publisher.objects() == publisher.check()
    for line in objects:
        for name in line["names"]:
            path = os.path.join(publisher.dir, name)
            printed = cli.ok("tree", path).split()
            assert printed == [f"sha256-{line['sha256']}", f"fsverity-{line['fsverity']}", path]
            tree = os.path.join(publisher.out, "objects", line["sha256"][:2], line["sha256"] + ".vtree")
            assert read(tree) == read(path + ".vtree")
            os.unlink(path + ".vtree")
    assert sorted(publisher.names()) == sorted(os.path.relpath(path, publisher.dir) for path in
                                               glob.glob(publisher.dir + "/*/*/*"))
    modes = {os.stat(path).st_mode & 0o777 for path in publisher.objects() | {publisher.catalog}}
    assert modes == {0o644}
    assert all(os.stat(path).st_nlink == 1 for path in publisher.objects())


def test_the_same_folder_gives_the_same_bytes(publisher, folder):
    fixed = ["--serial", "7", "--expires", "2031-01-01T00:00:00Z"]
    made = []
    for number, jobs in enumerate(("1", "4")):
        out = os.path.join(folder, f"again{number}")
        cli.ok(*publisher.args(*fixed, "--jobs", jobs, out=out))
        made.append([read(f"{out}/catalog.jsonl{suffix}") for suffix in ("", ".minisig")])
    assert made[0] == made[1]
    names = [line["names"] for line in publisher.lines(out)[1]]
    assert names == sorted(names) and all(group == sorted(group) for group in names)


def test_relative_urls(publisher):
    cli.ok("publish", publisher.dir, "--key", publisher.key.secret, "-o", publisher.out)
    for line in publisher.lines()[1]:
        assert line["urls"] == [f"objects/{line['sha256'][:2]}/{line['sha256']}"]


def test_in_place(publisher):
    write(f"{publisher.dir}/org0/a model #1%/weights ü.bin", b"w")
    report = publisher.ok("--in-place")
    assert report["copied"] == report["cloned"] == 0
    assert all(path.endswith(".vtree") for path in publisher.objects()) and len(publisher.objects()) == 12
    assert publisher.names()["org0/a model #1%/weights ü.bin"]["urls"] == \
        [URL + "/org0/a%20model%20%231%25/weights%20%C3%BC.bin"]
    line = publisher.names()["org1/model1/model.safetensors"]
    assert line["urls"] == [URL + "/org1/model1/model.safetensors"]
    assert line["tree"] == f"objects/{line['sha256'][:2]}/{line['sha256']}.vtree"
    assert cli.weightfs("publish", publisher.dir, "--key", publisher.key.secret, "-o", publisher.out,
                        "--in-place").returncode == 2


def test_into_the_folder_itself(publisher):
    """What was published is no model the next time."""
    publisher.out = publisher.dir
    publisher.catalog = os.path.join(publisher.out, "catalog.jsonl")
    assert publisher.ok("--in-place")["names"] == 20
    assert publisher.ok("--in-place")["names"] == 20


def test_objects_are_cloned_where_it_can_be(publisher, folder):
    disk = Disk(folder, 400 * MIB, kind="xfs")
    disk.mount()
    try:
        shutil.move(publisher.dir, disk.point)
        publisher.dir, publisher.out = disk.point + "/models", disk.point + "/out"
        publisher.catalog = publisher.out + "/catalog.jsonl"
        report = publisher.ok()
        assert (report["cloned"], report["copied"]) == (11, 0)
        assert publisher.objects() == publisher.check()
    finally:
        disk.umount()


def test_prefix_and_revision(publisher):
    write(publisher.dir + "/flat/config.json", b"flat")
    write(publisher.dir + "/flat/onnx/model.onnx", b"onnx")
    write(publisher.dir + "/fixed@1/config.json", b"fixed")
    publisher.ok("--prefix", "Lab", "--revision", "2f4a")
    names = publisher.names()
    assert {"Lab/flat@2f4a/config.json", "Lab/flat@2f4a/onnx/model.onnx", "Lab/fixed@1/config.json",
            "Lab/org0/model0@2f4a/config.json"} <= set(names)
    write(publisher.dir + "/README", b"none's")
    assert "README: is in no model's folder" in publisher.refused("--prefix", "Lab", "--revision", "2f4b")
    for bad in (["--revision", "a/b"], ["--prefix", "../a"], ["--name", "Hub"], ["--expires", "2020-01-01"],
                ["--expires", "soon"], ["--serial", "0"], ["--jobs", "none"], ["--url", "ftp://x"],
                ["--url", "https://x/?a="]):
        assert publisher.run(*bad).returncode == 2, bad


def test_progress_on_a_terminal(publisher):
    ours, terminal = pty.openpty()
    with process.spawn([cli.WEIGHTFS, *publisher.args()], stdout=subprocess.PIPE, stderr=terminal) as child:
        os.close(terminal)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:  # EIO: nobody has the terminal any more
            pass
        assert child.wait() == 0 and b"%" in said and said.endswith(b"\r\x1b[K")
    os.close(ours)


# ---- again -----------------------------------------------------------------------------------------

def opened_models(publisher, folder):
    """Which files below DIR a run opens, by strace."""
    log = os.path.join(folder, "strace.log")
    process.run(["strace", "-f", "-qq", "-o", log, "-e", "trace=open,openat", cli.WEIGHTFS,
                 *publisher.args()], check=True, env=traced())
    with open(log) as file:
        return [line for line in file if publisher.dir in line and "O_DIRECTORY" not in line]


def test_what_is_done_is_not_hashed_again(publisher, folder):
    publisher.ok("--serial", "41")
    assert opened_models(publisher, folder) == []
    publisher.check(serial=42)
    changed = publisher.dir + "/org1/model1/new.bin"
    write(changed, b"n")
    assert len(opened_models(publisher, folder)) == 1
    # The same bytes, but who knows that.
    os.utime(publisher.dir + "/org1/model4/model.safetensors")
    report = publisher.ok()
    assert (report["hashed"], report["known"], report["copied"], report["serial"]) == (1, 20, 0, 44)


@pytest.mark.parametrize("damage", ["object missing", "object short", "tree missing", "tree damaged", "state garbage",
                                    "state cut", "state missing"])
def test_what_is_no_longer_whole_is_made_again(publisher, damage):
    publisher.ok()
    line = publisher.names()["org0/model6/model.safetensors"]
    path = os.path.join(publisher.out, "objects", line["sha256"][:2], line["sha256"])
    state = os.path.join(publisher.out, ".weightfs-publish", "catalog.state")
    if damage == "object missing":
        os.unlink(path)
    elif damage == "object short":
        os.truncate(path, line["size"] - 1)
    elif damage == "tree missing":
        os.unlink(path + ".vtree")
    elif damage == "tree damaged":
        write(path + ".vtree", read(path + ".vtree")[:-250] + bytes(250))
    elif damage == "state garbage":
        write(state, b"\0" * 5000)
    elif damage == "state cut":
        write(state, read(state)[:-40])
    else:
        os.unlink(state)
    report = publisher.ok()
    assert report["hashed"] == (20 if damage in ("state garbage", "state missing") else 1)
    assert publisher.objects() == publisher.check()


# ---- kill -9 ---------------------------------------------------------------------------------------

def killed(publisher, call, number, *more):
    """A run whose threads each die with all others at their NUMBER-th CALL, before it does anything. Was it killed?"""
    result = process.run([*COPYING, "-e", f"trace={call},ioctl", "-e", f"inject={call}:signal=SIGKILL:when={number}",
                          cli.WEIGHTFS, *publisher.args("--jobs", "1", *more)], env=traced())
    assert result.returncode in (0, -9, 137), result
    return result.returncode != 0


def keep_models(publisher, count):
    for model in range(count, len(SIZES)):
        shutil.rmtree(f"{publisher.dir}/org{model % 3}/model{model}")


def is_valid(publisher):
    return process.run(["minisign", "-V", "-p", publisher.key.public, "-m", publisher.catalog]).returncode == 0


def kill_points(some):
    """Every one, of which there are so many as the run makes calls; or SOME."""
    return itertools.count(1) if LONG else some


@pytest.mark.parametrize("call,some", [("rename", [2, 6]), ("fsync", [5]), ("pwrite64", [2]), ("unlink", [2])])
def test_killed_at_calls_of_a_first_run(publisher, call, some):
    """The next run goes on from there, and what was done is not done again."""
    keep_models(publisher, 2)
    for number in kill_points(some):
        if not killed(publisher, call, number):
            assert LONG
            break
        report = publisher.ok()
        assert report["names"] == 4
        assert publisher.objects() == publisher.check()
        assert not glob.glob(publisher.out + "/.weightfs-publish/tmp-*")
        shutil.rmtree(publisher.out)
    assert not LONG or number > max(some)


def test_killed_in_the_middle_what_was_done_is_kept(publisher):
    assert killed(publisher, "rename", 11)
    report = publisher.ok()
    assert report["known"] >= 4 and report["known"] + report["hashed"] == 20
    assert publisher.objects() == publisher.check()


# Of some the last one is between the two renames, if there is such a call.
@pytest.mark.parametrize("call,some", [("rename", [4, 3]), ("fsync", [2, 4]), ("unlink", [2]), ("syncfs", [1])])
def test_killed_at_calls_of_a_later_run(publisher, call, some):
    """The catalog is the old one or the next one; between the two renames alone its signature is not its own, and
    the next run ends that first."""
    keep_models(publisher, 2)
    publisher.ok("--serial", "100")
    halves = 0
    for number in kill_points(some):
        before = publisher.lines()[0]["serial"]
        if not killed(publisher, call, number):
            assert LONG
            break
        after = publisher.lines()[0]["serial"]
        assert after in (before, before + 1)
        half = not is_valid(publisher)
        halves += half
        report = publisher.run()
        assert report.returncode == 0
        assert ("interrupted" in report.stderr) == half
        publisher.check(serial=before + 2 if half or after > before else before + 1)
    assert not LONG or number > max(some)
    assert halves == {"rename": 1, "fsync": 1}.get(call, 0)


def test_one_at_a_time(publisher):
    publisher.ok()
    lock = os.open(publisher.out + "/.weightfs-publish", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert "another publish is at work" in publisher.refused()
    os.close(lock)
    publisher.ok()


# ---- names are for ever ----------------------------------------------------------------------------

def test_other_bytes_under_the_same_name(publisher, folder):
    publisher.ok("--serial", "5")
    old = shutil.copy(publisher.catalog, folder + "/old.jsonl")
    write(publisher.dir + "/org0/model3/config.json", b"{ }")
    said = publisher.refused()
    assert "org0/model3/config.json" in said and "--revision" in said and "take the file out of" in said
    report = publisher.ok("--revision", "r2", "--keep")
    assert (report["serial"], report["names"], report["objects"]) == (6, 40, 12)
    names = publisher.names()
    assert names["org0/model3@r2/config.json"]["size"] == 3 and names["org0/model3/config.json"]["size"] == 2
    publisher.check(serial=6)
    # Nothing was rebound, nothing removed.
    changes = [json.loads(line) for line in cli.ok("catalog", "diff", old, publisher.catalog, "--json").splitlines()]
    assert {change["change"] for change in changes} == {"serial", "added"}
    assert len([change for change in changes if change.get("name")]) == 20
    # What is not in the folder need not stay.
    os.unlink(publisher.dir + "/org0/model3/config.json")
    assert publisher.ok()["names"] == 19


def test_serials(publisher):
    publisher.ok("--serial", "50")
    for serial in ("49", "50"):
        assert "has the serial 50" in publisher.refused("--serial", serial)
    assert publisher.ok("--serial", "60")["serial"] == 60
    assert publisher.ok()["serial"] == 61


def test_a_catalog_that_is_not_ours(publisher, folder):
    """Its serial cannot be believed."""
    other = Key(folder, "other")
    publisher.ok()
    process.run(["minisign", "-S", "-s", other.secret, "-m", publisher.catalog], check=True)
    assert "catalog.jsonl" in publisher.refused()
    publisher.ok("--public", other.public)  # the key before this one
    publisher.check()
    write(publisher.catalog, read(publisher.catalog).replace(b"config", b"c0nfig", 1))
    assert "catalog.jsonl" in publisher.refused()
    os.unlink(publisher.catalog + ".minisig")
    assert "not signed" in publisher.refused()


def test_unsigned(publisher):
    unsigned = ["publish", publisher.dir, "-o", publisher.out, "--unsigned"]
    cli.ok(*unsigned)
    assert not os.path.exists(publisher.catalog + ".minisig")
    process.run(["minisign", "-S", "-s", publisher.key.secret, "-m", publisher.catalog], check=True)
    assert "is signed" in cli.weightfs(*unsigned).stderr
    assert cli.weightfs("publish", publisher.dir, "-o", publisher.out).returncode == 2
    publisher.ok()
    publisher.check()


# ---- what cannot be published ----------------------------------------------------------------------

@pytest.mark.parametrize("name,why", [
    (b"a\nb", "control characters"), (b"a\x1b[31mb", "control characters"), (b"a\xff", "not UTF-8"),
    (b"a\\b", "backslash"), (b"a\x7f", "control characters")])
def test_names_that_a_catalog_cannot_have(publisher, name, why):
    path = os.fsencode(publisher.dir) + b"/org0/model0/" + name
    with open(path, "wb"):
        pass
    said = publisher.refused()
    assert why in said and "org0/model0/a" in said and said.isprintable()


def test_links(publisher, folder):
    """Those that stay inside are what they lead to."""
    os.symlink("../model6/model.safetensors", publisher.dir + "/org0/model0/linked.bin")
    os.symlink("org1", publisher.dir + "/alias")
    names = (publisher.ok(), publisher.names())[1]
    assert names["org0/model0/linked.bin"]["size"] == SIZES[6]
    assert names["alias/model1/config.json"] == names["org1/model1/config.json"]
    write(folder + "/models-secret/x", b"secret")
    link = publisher.dir + "/org0/model0/bad"
    for target, why in (("/etc/passwd", "leads out"), ("../../../models-secret/x", "leads out"),
                        ("../../../models-secret", "leads out"), ("nothing", "not there"),
                        ("..", "a folder that it is in"), ("../..", "out of the folder"), ("bad", "symbolic links")):
        os.symlink(target, link)
        said = publisher.refused()
        assert why in said and "org0/model0/bad" in said, target
        os.unlink(link)


def test_special_files_and_hidden_ones(publisher):
    write(publisher.dir + "/.git/config", b"hidden")
    write(publisher.dir + "/org0/model0/.cache", b"hidden")
    result = publisher.run("--json")
    assert json.loads(result.stdout)["hidden"] == 2 and json.loads(result.stdout)["names"] == 20
    assert "/.git: hidden" in result.stderr and "/org0/model0/.cache: hidden" in result.stderr
    os.mkfifo(publisher.dir + "/org0/fifo")
    assert "org0/fifo: neither a file nor a folder" in publisher.refused()
    os.unlink(publisher.dir + "/org0/fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        os.chdir(publisher.dir)
        unix.bind("socket")
        os.chdir("/")
    assert "socket: neither" in publisher.refused()


def go_on(child):
    """CHILD, a strace, and what it traces: until it has ended, as it may stop after it was told to go on."""
    while child.poll() is None:
        with open(f"/proc/{child.pid}/task/{child.pid}/children") as file:
            for pid in map(int, file.read().split()):
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            pass


@pytest.mark.parametrize("change", ["overwritten", "longer", "replaced"])
def test_a_file_that_changes_while_it_is_read(publisher, change):
    keep_models(publisher, 0)
    path = publisher.dir + "/model/weights.bin"
    write(path, bytes(9 * MIB))
    copy_of_it = publisher.out + "/.weightfs-publish/tmp-0"
    child = process.spawn([*COPYING, "-e", "trace=pwrite64,ioctl", "-e", "inject=pwrite64:signal=SIGSTOP:when=2",
                           cli.WEIGHTFS, *publisher.args("--jobs", "1")], stderr=subprocess.PIPE, text=True,
                          env=traced())
    wait_until(lambda: os.path.exists(copy_of_it) and os.path.getsize(copy_of_it) > 0, "it has read a part")
    if change == "replaced":
        write(path + ".new", bytes(9 * MIB))
        os.rename(path + ".new", path)
    else:
        with open(path, "r+b") as file:
            file.seek(0, os.SEEK_SET if change == "overwritten" else os.SEEK_END)
            file.write(b"x")
    go_on(child)
    said = child.communicate()[1]
    assert child.returncode == 1 and "weights.bin: changed while it was being published" in said
    assert publisher.published() == [None, None] and publisher.objects() == set()
    assert publisher.ok()["hashed"] == 1
    assert publisher.objects() == publisher.check()


def test_a_file_that_is_being_written(publisher):
    path, done = publisher.dir + "/org0/model0/growing.bin", threading.Event()
    write(path, bytes(32 * MIB))

    def grow():
        with open(path, "r+b", buffering=0) as file:
            while not done.wait(0.001):
                file.write(b"x")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert "growing.bin: changed while it was being published" in publisher.refused()
    finally:
        done.set()
        writer.join()
    publisher.ok()
    assert publisher.objects() == publisher.check()


def test_limits(publisher):
    for number in range(257):
        write(f"{publisher.dir}/org0/model0/{number:03}", b"all the same")
    said = publisher.refused()
    assert "257 files have the bytes of org0/model0/000" in said and "256" in said
    os.unlink(f"{publisher.dir}/org0/model0/256")
    assert len(publisher.ok() and publisher.names()["org0/model0/000"]["names"]) == 256
    shutil.rmtree(publisher.dir)
    for number in range(90):
        write(f"{publisher.dir}/{'m' * 250}/{'n' * 250}/{'f' * 240}{number}", b"")
    assert "more than 64 KiB" in publisher.refused()
    shutil.rmtree(publisher.dir)
    os.mkdir(publisher.dir)
    assert "there is no file" in publisher.refused()


def test_a_disk_that_is_full(publisher, folder):
    disk = Disk(folder, 32 * MIB)
    disk.mount()
    try:
        publisher.out, publisher.catalog = disk.point + "/out", disk.point + "/out/catalog.jsonl"
        space = os.statvfs(disk.point)
        write(disk.point + "/filler", bytes(space.f_bavail * space.f_bsize - 4 * MIB))
        said = publisher.refused("--jobs", "1")
        assert said.startswith(f"weightfs: {publisher.out}: ") and "No space left" in said
        os.unlink(disk.point + "/filler")
        assert publisher.ok()["known"] > 0
        assert publisher.objects() == publisher.check()
    finally:
        disk.umount()


# ---- keys ------------------------------------------------------------------------------------------

def test_a_key_with_a_password(publisher, folder):
    """Stock minisign signs; what it asks for comes from the terminal, or from stdin here."""
    publisher.key = Key(folder, "locked")
    publisher.key.lock(b"correct horse")
    report = json.loads(cli.ok(*publisher.args("--json"), input="correct horse\n"))
    assert report["signed"]
    publisher.check()
    before = publisher.published()
    result = publisher.run("--json", input="wrong\n")
    assert result.returncode == 1 and result.stdout == "" and "did not sign" in result.stderr
    assert publisher.published() == before
    os.rename(publisher.key.public, folder + "/elsewhere.pub")
    assert "--public" in publisher.refused()


def test_a_program_that_signs(publisher, folder):
    """What comes out is checked whoever made it."""
    program = os.path.join(folder, "signer")
    write(program, b"#!/bin/sh\nexec minisign \"$@\"\n")
    os.chmod(program, 0o755)
    assert publisher.ok("--sign-with", program)["signed"]
    publisher.check()
    comment = process.run(["minisign", "-V", "-Q", "-p", publisher.key.public, "-m", publisher.catalog],
                          check=True).stdout
    assert comment.startswith(f"catalog catalog serial {publisher.lines()[0]['serial']} expires ")
    other = Key(folder, "other")
    write(program, f"#!/bin/sh\nshift 3\nexec minisign -S -s {other.secret} \"$@\"\n".encode())
    assert "catalog.jsonl" in publisher.refused("--sign-with", program)
    write(program, b"#!/bin/sh\nexit 0\n")
    assert "it made no signature" in publisher.refused("--sign-with", program)
    assert "nowhere" in publisher.refused("--sign-with", "/nowhere")


def test_the_secret_key_is_not_published(publisher, folder):
    publisher.key.secret = shutil.copy(publisher.key.secret, publisher.dir + "/lab.key")
    assert "lab.key: is a secret key" in publisher.refused()
    assert publisher.objects() == set()
    # Nor is any other: a copy, or what another one signs with.
    publisher.key.secret = shutil.move(publisher.key.secret, os.path.join(folder, "moved.key"))
    shutil.copy(publisher.key.secret, publisher.dir + "/copy.bin")
    assert "copy.bin: is a secret key" in publisher.refused()
    assert publisher.objects() == set()


def test_what_is_no_key(publisher, folder):
    publisher.key.secret = folder + "/none"
    assert "none: No such file" in publisher.refused()
    write(publisher.key.secret, b"garbage")
    assert "secret key" in publisher.refused()


# ---- weightfs catalog ------------------------------------------------------------------------------

def test_catalog_verify(publisher, key):
    publisher.ok("--serial", "9", "--expires", "2031-01-01")
    key_id, word = read(key.public).decode().split()[-2:]
    for given in (key.public, word):
        said = json.loads(cli.ok("catalog", "verify", publisher.catalog, "--key", given, "--json"))
        assert said == {"name": "catalog", "serial": 9, "expires": "2031-01-01T00:00:00Z", "objects": 11,
                        "names": 20, "key": said["key"],
                        "comment": "catalog catalog serial 9 expires 2031-01-01T00:00:00Z"}
        assert said["key"].lstrip("0") == key_id
    cli.ok("catalog", "verify", publisher.catalog, "--key", word, "--prefix", "org0/", "--prefix", "org1/",
           "--prefix", "org2/")
    assert "serial 9" in cli.ok("catalog", "verify", publisher.catalog, "--unsigned")
    assert cli.weightfs("catalog", "verify", publisher.catalog).returncode == 2
    assert cli.weightfs("catalog", "verify").returncode == 2
    assert cli.weightfs("catalog", "nothing").returncode == 2


@pytest.mark.parametrize("defect", ["line", "signature", "comment", "key", "missing", "prefix", "expired", "cut", "json"])
def test_catalog_verify_finds(publisher, folder, key, defect):
    publisher.ok()
    catalog, more = publisher.catalog, []
    sign = ["minisign", "-S", "-s", key.secret, "-m", catalog]
    if defect == "line":
        write(catalog, read(catalog).replace(b"model5", b"modelX", 1))
    elif defect == "cut":
        write(catalog, read(catalog)[:-100])
    elif defect == "signature":
        text = bytearray(read(catalog + ".minisig"))
        at = text.index(b"\n") + 40
        text[at] = ord("A") if text[at] != ord("A") else ord("B")
        write(catalog + ".minisig", bytes(text))
    elif defect == "comment":
        write(catalog + ".minisig", read(catalog + ".minisig").replace(b"serial", b"Serial"))
    elif defect == "key":
        key = Key(folder, "other")
    elif defect == "missing":
        os.unlink(catalog + ".minisig")
    elif defect == "prefix":
        more = ["--prefix", "org0/"]
    elif defect == "expired":
        header, rest = read(catalog).split(b"\n", 1)
        write(catalog, json.dumps({**json.loads(header), "expires": "2020-01-01T00:00:00Z"}).encode() + b"\n" + rest)
        process.run(sign, check=True)
    elif defect == "json":
        write(catalog, read(catalog) + b"{\n")
        process.run(sign, check=True)
    result = cli.weightfs("catalog", "verify", catalog, "--key", key.public, *more)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1 and catalog in result.stderr


def test_catalog_show(publisher):
    publisher.ok()
    names = publisher.names()
    assert len(cli.ok("catalog", "show", publisher.catalog).splitlines()) == 20
    shown = [json.loads(line) for line in
             cli.ok("catalog", "show", publisher.catalog, "org1/*/model.safetensors", "--json").splitlines()]
    assert [entry["name"] for entry in shown] == sorted(name for name in names if name.startswith("org1/") and
                                                        name.endswith("model.safetensors"))
    for entry in shown:
        line = names[entry.pop("name")]
        assert entry == {key: line[key] for key in line if key != "names"}
    line = names["org0/model6/model.safetensors"]
    for digest in (line["sha256"], "fsverity-" + line["fsverity"]):
        said = cli.ok("catalog", "show", publisher.catalog, digest).splitlines()
        assert said == [f"sha256 {line['sha256']}", f"fsverity {line['fsverity']}", f"size {line['size']}",
                        f"url {line['urls'][0]}", f"tree {line['tree']}", "name org0/model6/model.safetensors"]
    for nothing in ("org9/*", "0" * 64):
        assert cli.weightfs("catalog", "show", publisher.catalog, nothing).returncode == 1


def test_catalog_diff(publisher, folder):
    publisher.ok("--serial", "3")
    assert cli.ok("catalog", "diff", publisher.catalog, publisher.catalog) == ""
    old = folder + "/old.jsonl"
    lines = read(publisher.catalog).splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b"model6/model" in line)
    other = json.loads(lines[at])
    write(old, b"".join(lines))

    def diff(**changes):
        text = json.dumps({**other, **changes}).encode() + b"\n"
        write(folder + "/new.jsonl", lines[0].replace(b":3,", b":4,") + b"".join(lines[1:at]) + text +
              b"".join(lines[at + 1:]))
        result = cli.weightfs("catalog", "diff", old, folder + "/new.jsonl", "--json")
        assert result.stderr == ""
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert found[0] == {"change": "serial", "old": 3, "new": 4}
        return result.returncode, [(change["change"], change.get("name")) for change in found[1:]]

    name = other["names"][0]
    assert diff(sha256="1" * 64, fsverity="2" * 64) == \
        (1, [("rebound", name), ("removed", None), ("added", None)])
    assert diff(size=1) == (1, [("rebound", name), ("contradicts", None)])
    assert diff(urls=["x"]) == (0, [("moved", None)])
    assert diff(names=["new"]) == (0, [("removed", name), ("added", "new")])
    # The same serial with other bytes.
    write(folder + "/new.jsonl", b"".join(lines[:-1]))
    result = cli.weightfs("catalog", "diff", old, folder + "/new.jsonl")
    assert result.returncode == 1 and "! serial 3 -> 3" in result.stdout
