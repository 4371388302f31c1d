# SPDX-License-Identifier: Apache-2.0
"""Names, attributes, extended attributes, ioctls: what a node looks like from outside."""

import ctypes
import errno
import fcntl
import os
import stat
import struct
import termios
import time

import pytest

from conftest import NOBODY
from harness import process, reader
from harness.models import unknown_digest
from harness.paths import CHUNK, MIB
from harness.poll import wait_until


@pytest.fixture
def mounted(mount, server):
    return mount(server)


@pytest.fixture
def stored(mounted, small):
    """SMALL, complete, so that both of its digests are known."""
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    return small


def test_the_root(mounted):
    assert {"hash", "origin"} <= set(os.listdir(mounted.point))
    assert stat.S_IMODE(os.stat(mounted.point).st_mode) == 0o555
    assert os.path.islink(mounted.path("hash"))
    assert os.path.isdir(mounted.path("hash"))


def test_aliases_are_the_same_file(mounted, stored):
    names = [stored.sha256, f"sha256-{stored.sha256}", f"sha256:{stored.sha256}", stored.attested]
    inodes = {os.stat(mounted.object(name)).st_ino for name in names}
    assert len(inodes) == 1 and 0 not in inodes
    for name in names:
        assert reader.whole(mounted.object(name))["sha256"] == stored.sha256


def test_what_is_no_canonical_digest_is_not_there(mounted, stored):
    hexes = stored.sha256
    for name in (hexes.upper(), hexes[:-1], hexes + "0", hexes[:-1] + "g", f"SHA256-{hexes}",
                 f"sha256_{hexes}", f"sha512-{hexes}", f"sha256-{hexes.upper()}", "fsverity-",
                 f"fsverity:{stored.fsverity}", f"fsverity-{stored.fsverity.upper()}", hexes + ".vtree",
                 f" {hexes}", "sha256-", ".hidden", unknown_digest(), "f" * 255):
        assert set(reader.calls(mounted.object(name)).values()) == {"ENOENT"}, name


def test_readdir_lists_what_is_stored_by_canonical_name(mounted, stored, medium):
    assert os.listdir(mounted.path("hash")) == [stored.sha256]
    # Known by fs-verity digest only: a part of it is here.
    assert reader.part(mounted.object(medium.attested), 0, 10)["size"] == 10
    names = os.listdir(mounted.path("hash"))
    assert stored.sha256 in names and set(names) <= {stored.sha256, medium.attested}
    reader.whole(mounted.object(medium.attested))
    wait_until(lambda: set(os.listdir(mounted.path("hash"))) in
               ({stored.sha256, medium.sha256}, {stored.sha256, medium.attested}), "both listed")
    assert unknown_digest() not in os.listdir(mounted.path("hash"))


@pytest.mark.heavy
def test_readdir_of_many(models, mounted):
    expected = set()
    for number in range(150):
        model = models.blob(100 + number, "many")
        assert reader_in_process(mounted.object(model.sha256)) == model.read()
        expected.add(model.sha256)
    assert set(os.listdir(mounted.path("hash"))) == expected
    assert len(os.listdir(mounted.path("hash"))) == 150
    entries = {entry.name: entry for entry in os.scandir(mounted.path("hash"))}
    for name in expected:
        assert entries[name].is_file(follow_symlinks=False)
        assert entries[name].inode() == os.stat(mounted.object(name)).st_ino


def reader_in_process(path):
    with open(path, "rb") as file:
        return file.read()


def test_attributes_of_an_object(mounted, stored):
    path = mounted.object(stored.sha256)
    before = os.stat(path)
    assert stat.S_ISREG(before.st_mode) and stat.S_IMODE(before.st_mode) == 0o444
    assert before.st_size == stored.size
    assert before.st_nlink == 1
    assert before.st_blocks == -(-stored.size // 512)
    with open(path, "rb") as file:
        file.read()
    after = os.stat(path)
    for field in ("st_mtime_ns", "st_ctime_ns", "st_atime_ns", "st_ino", "st_uid", "st_gid",
                  "st_mode", "st_blocks", "st_nlink", "st_dev"):
        assert getattr(before, field) == getattr(after, field), field
    # Times do not tell when it was fetched.
    assert abs(after.st_mtime - time.time()) > 3600


def test_attributes_do_not_tell_what_is_here(models, mounted, server, mount):
    """An object looks alike before it is fetched, partly here, complete, and on another machine."""
    model = models.blob(2 * MIB + 3, "alike")
    fields = ("st_mtime_ns", "st_ctime_ns", "st_atime_ns", "st_ino", "st_mode", "st_size",
              "st_blocks", "st_nlink", "st_blksize")
    look = lambda where: [getattr(os.stat(where.object(model.attested)), f) for f in fields]
    fresh = look(mounted)
    reader.part(mounted.object(model.attested), 0, 1)
    partly = look(mounted)
    reader.whole(mounted.object(model.attested))
    complete = look(mounted)
    assert fresh == partly == complete == look(mount(server))


def test_size_is_exact_at_the_first_stat(medium, mounted, server):
    assert os.stat(mounted.object(medium.attested)).st_size == medium.size
    assert os.stat(mounted.object(medium.unattested)).st_size == medium.size
    assert server.body_bytes(medium.blob_uri("attested")) == 0


def test_directories(mounted, stored):
    for parts in (("hash",), ("origin",), ("origin", "0"), ("origin", "0", "local"),
                  ("origin", "0", "local", "hash")):
        status = os.stat(mounted.path(*parts))
        assert stat.S_ISDIR(status.st_mode), parts
        assert stat.S_IMODE(status.st_mode) == 0o555, parts
    assert "hash" in os.listdir(mounted.path("origin", "0", "local"))


def write_like(path, folder):
    new = os.path.join(os.path.dirname(path), "0" * 64)
    return {
        "open for writing": lambda: os.open(path, os.O_WRONLY),
        "open for both": lambda: os.open(path, os.O_RDWR),
        "open with O_TRUNC": lambda: os.open(path, os.O_WRONLY | os.O_TRUNC),
        "create": lambda: os.open(new, os.O_WRONLY | os.O_CREAT, 0o600),
        "truncate": lambda: os.truncate(path, 0),
        "unlink": lambda: os.unlink(path),
        "mkdir": lambda: os.mkdir(new),
        "rmdir": lambda: os.rmdir(os.path.dirname(path)),
        "rename": lambda: os.rename(path, new),
        "link": lambda: os.link(path, new),
        "symlink": lambda: os.symlink("x", new),
        "mknod": lambda: os.mknod(new),
        "chmod": lambda: os.chmod(path, 0o600),
        "chown": lambda: os.chown(path, 1, 1),
        "utime": lambda: os.utime(path, (1, 1)),
        "setxattr": lambda: os.setxattr(path, "user.weightfs.digest", b"x"),
        "removexattr": lambda: os.removexattr(path, "user.weightfs.digest"),
    }


@pytest.mark.parametrize("call", sorted(write_like("/a/b", "/a")))
def test_nothing_can_be_changed(mounted, stored, folder, call):
    real = os.path.join(os.path.realpath(mounted.path("hash")), stored.sha256)
    with pytest.raises(OSError) as failure:
        write_like(real, folder)[call]()
    assert failure.value.errno == errno.EROFS


def test_extended_attributes(medium, mounted):
    path = mounted.object(medium.attested)
    assert reader.part(path, 0, 10)["size"] == 10
    get = lambda name: os.getxattr(path, f"user.weightfs.{name}").decode()
    assert get("fsverity").removeprefix("fsverity-").removeprefix("sha256:") == medium.fsverity
    wait_until(lambda: int(get("present")) >= CHUNK, "the chunk that was read is in the store")
    assert get("state") == "partial"
    assert int(get("present")) < medium.size
    reader.whole(path)
    wait_until(lambda: get("state") == "complete", "complete")
    assert int(get("present")) == medium.size


def test_extended_attributes_by_getfattr(mounted, stored):
    path = mounted.object(stored.sha256)
    text = process.run(["getfattr", "--absolute-names", "-d", path], check=True, uid=NOBODY).stdout
    for name in ("digest", "fsverity", "state", "present"):
        assert f"user.weightfs.{name}=" in text
    assert stored.sha256 in text and stored.fsverity in text
    assert os.getxattr(path, "user.weightfs.digest").decode().endswith(stored.sha256)
    for name in ("user.weightfs.nothing", "user.other", "security.capability"):
        with pytest.raises(OSError) as failure:
            os.getxattr(path, name)
        assert failure.value.errno == errno.ENODATA, name


def test_fsverity_measure(mounted, stored, medium):
    for path, model in ((mounted.object(stored.sha256), stored),
                        (mounted.object(medium.attested), medium)):
        text = process.run(["fsverity", "measure", path], check=True).stdout
        assert text.split()[0] == f"sha256:{model.fsverity}"


def test_other_ioctls(mounted, stored):
    with open(mounted.object(stored.sha256), "rb") as file:
        for request in (termios.TCGETS, 0x80047742):
            with pytest.raises(OSError) as failure:
                fcntl.ioctl(file, request, b"\0" * 256)
            assert failure.value.errno == errno.ENOTTY


def test_statfs(mounted):
    assert os.statvfs(mounted.point).f_flag & os.ST_RDONLY
    status = os.statvfs(mounted.path("hash"))
    assert status.f_bsize > 0 and status.f_blocks > 0 and status.f_namemax >= 73
    assert process.run(["df", mounted.point]).returncode == 0


def test_mount_flags_and_type(mounted):
    with open("/proc/self/mounts") as table:
        line = next(line.split() for line in table if line.split()[1] == mounted.point)
    assert line[2] in ("fuse.weightfs", "fuse")
    options = line[3].split(",")
    assert {"ro", "nosuid", "nodev", "allow_other"} <= set(options)


def test_a_grep_over_the_mount_downloads_nothing(mounted, stored, server):
    server.mark()
    process.run(["grep", "-r", "no such text in here", mounted.point])
    process.run(["find", mounted.point, "-type", "f", "-newer", "/etc/passwd"])
    process.run(["du", "-s", mounted.point])
    assert not server.requests(probes=True)


def test_an_unknown_digest_is_asked_for_once(mounted, server):
    path = mounted.object(unknown_digest("once"))
    for _ in range(5):
        assert not os.path.exists(path)
    asked = [r for r in server.requests(probes=True) if unknown_digest("once") in r["uri"]]
    assert len(asked) == 1


def file_handle(path):
    """name_to_handle_at(2): what anybody may ask the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 8 + 128)
    mount_id = ctypes.c_int()
    if libc.name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(mount_id), 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return handle.raw[8:8 + struct.unpack_from("I", handle)[0]]


def test_file_handles_and_inodes_do_not_count(mount, server, small, medium):
    """A file handle has the node's id in it: how many views and objects there are must not be read from it."""
    mounted = mount(server)
    seen = {}
    for number in range(2):
        if number:
            mount(again=mounted)
        for name in (small.sha256, medium.sha256):
            path = mounted.object(name)
            assert reader.whole(path)["size"] > 0
            seen.setdefault(name, []).append(file_handle(path))
        seen.setdefault("view", []).append(file_handle(os.path.dirname(os.path.realpath(path))))
        seen.setdefault("inode", []).append(os.stat(os.path.dirname(os.path.realpath(path))).st_ino)
        mounted.stop()
    for what, (first, second) in seen.items():
        assert first != second, f"{what}: the same in another mount of the same store"
