# SPDX-License-Identifier: Apache-2.0
"""An ordinary user mounts by fusermount3, without root."""

import os
import stat

import pytest

from conftest import ALICE, NOBODY
from harness import cli, reader
from harness.poll import wait_until


@pytest.fixture(scope="module")
def device():
    """udev gives everybody access to /dev/fuse; some containers do not. As usual, for a while."""
    mode = stat.S_IMODE(os.stat("/dev/fuse").st_mode)
    os.chmod("/dev/fuse", mode | 0o666)
    yield
    os.chmod("/dev/fuse", mode)


@pytest.fixture
def mounted(device, mount, server):
    return mount(server, uid=NOBODY)


def test_a_user_mounts_and_reads(medium, mounted):
    path = mounted.object(medium.attested)
    for way in ("read", "mmap"):
        assert reader.whole(path, way, uid=NOBODY) == {"sha256": medium.sha256, "size": medium.size}
    assert reader.readlink(mounted.path("hash"), NOBODY) == f"origin/{NOBODY}/local/hash"


def test_unattested_too(medium, mounted):
    assert reader.whole(mounted.object(medium.unattested), uid=NOBODY)["sha256"] == medium.sha256


def test_others_do_not_get_in(medium, mounted):
    assert reader.whole(mounted.object(medium.attested), uid=ALICE)["errno"] == "EACCES"


def test_it_goes_by_umount(mounted):
    result = cli.weightfs("umount", mounted.point, uid=NOBODY)
    assert result.returncode == 0, result.stderr
    wait_until(lambda: not mounted.alive(), "the daemon has ended")
    assert mounted.child.returncode == 0
    mounted.child = None


def test_commands_use_the_users_daemon(small, mounted):
    result = cli.weightfs("add", "--store", mounted.store, small.path, uid=NOBODY)
    assert result.returncode == 0, result.stderr
    assert reader.whole(mounted.object(small.sha256), uid=NOBODY)["sha256"] == small.sha256


def test_a_web_origin_of_the_owner_is_not_the_owner(small, device, mount, server):
    made = mount(server, uid=NOBODY, policy=f"caller uid {NOBODY} is https://app.example.com\nallow any to any\n",
                 options=["origin=https://app.example.com"])
    for words in (("ls",), ("rm", small.sha256), ("grants",)):
        command, *rest = words
        result = cli.weightfs(command, "--store", made.store, *rest, uid=NOBODY)
        assert result.returncode == 1 and ("only for root" in result.stderr or "web origin" in result.stderr)
    assert cli.weightfs("ls", "--store", made.store).returncode == 0
    made.set_policy("caller any is local\nallow any to any\n")
    wait_until(lambda: cli.weightfs("ls", "--store", made.store, uid=NOBODY).returncode == 0, "it is the owner")


def test_the_default_store_of_a_user(small, folder):
    home = os.path.join(folder, "home")
    os.mkdir(home)
    os.chown(home, NOBODY, NOBODY)
    environment = dict(os.environ, HOME=home, XDG_CACHE_HOME=f"{home}/cache")
    environment.pop("XDG_RUNTIME_DIR", None)
    result = cli.weightfs("add", small.path, uid=NOBODY, env=environment)
    assert result.returncode == 0, result.stderr
    assert os.path.isdir(f"{home}/cache/weightfs/objects")
    assert os.stat(f"{home}/cache/weightfs").st_mode & 0o777 == 0o700
