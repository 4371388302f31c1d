# SPDX-License-Identifier: Apache-2.0
"""What does not fit into the store: attested objects are served all the same, unattested ones are not."""

import json
import os

import pytest

from conftest import NOBODY
from harness import cli, config, reader
from harness.mapping import Mapping
from harness.paths import MIB
from harness.poll import wait_until
from harness.reader import Reader

LITTLE = {"size": "2M"}


@pytest.mark.parametrize("way", ["read", "small", "odd", "mmap"])
def test_an_attested_object_is_served_uncached(medium, server, mount, way):
    mounted = mount(server, store_keys=LITTLE)
    path = mounted.object(medium.attested)
    assert reader.whole(path, way) == {"sha256": medium.sha256, "size": medium.size}
    fetched = server.body_bytes(medium.blob_uri("attested"))
    assert fetched <= 1.2 * medium.size, "chunks stay in memory until the reader has passed them"
    assert len([line for line in mounted.log().splitlines() if "uncached" in line]) == 1


def test_many_readers_of_an_uncached_object(medium, server, mount):
    path = mount(server, store_keys=LITTLE).object(medium.attested)
    readers = [Reader("whole", path, way) for way in ("read", "odd", "mmap", "sendfile")]
    for one in readers:
        assert one.outcome() == {"sha256": medium.sha256, "size": medium.size}


def test_an_unattested_object_does_not_open(medium, server, mount):
    mounted = mount(server, store_keys=LITTLE)
    assert reader.whole(mounted.object(medium.unattested))["errno"] == "ENOSPC"
    assert server.body_bytes(medium.blob_uri("unattested")) <= 20 * MIB, "and is not fetched for nothing"
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256


def test_what_fits_is_kept_beside_what_does_not(medium, small, server, mount):
    mounted = mount(server, store_keys=LITTLE)
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    assert cli.record_of(mounted.store, small)["state"] == "complete"
    assert cli.record_of(mounted.store, medium)["present"] == 0


# ---- making room -------------------------------------------------------------------------------------

def kept(mounted, model):
    record = cli.record_of(mounted.store, model)
    return record and record["state"] == "complete"


def is_stored(mounted, model):
    record = cli.record_of(mounted.store, model)
    return record is not None and record["present"] > 0


def read_and_keep(mounted, model, kind="attested"):
    assert reader.whole(mounted.object(model.name(kind)))["sha256"] == model.sha256
    wait_until(lambda: kept(mounted, model), "it is kept")


@pytest.mark.parametrize("kind", ["attested", "unattested"])
def test_the_one_opened_longest_ago_makes_room(models, server, mount, kind):
    first, second, third = (models.blob(8 * MIB, f"room {number}") for number in range(3))
    mounted = mount(server, store_keys={"size": "20M"})
    for model in (first, second, first, third):
        read_and_keep(mounted, model, kind)
    assert is_stored(mounted, first) and not is_stored(mounted, second)
    # By the same path, though the kernel knows it.
    server.mark()
    read_and_keep(mounted, second, kind)
    assert server.body_bytes(second.blob_uri(kind)) >= second.size
    assert not is_stored(mounted, first)
    assert mounted.log().count("made room") == 2


def test_an_open_object_stays_and_a_mapped_one_can_be_read(models, server, mount):
    first, second, third = (models.blob(8 * MIB, f"mapped {number}") for number in range(3))
    mounted = mount(server, store_keys={"size": "10M"})
    path = mounted.object(first.attested)
    read_and_keep(mounted, first)
    with open(path, "rb") as file:
        assert file.read(10) == first.read(0, 10)
        assert reader.whole(mounted.object(second.attested))["sha256"] == second.sha256
        assert kept(mounted, first) and not is_stored(mounted, second)
    with Mapping(path) as mapping:
        wait_until(lambda: reader.whole(mounted.object(third.attested))["sha256"] == third.sha256
                   and kept(mounted, third), "the third is kept")
        assert not is_stored(mounted, first)
        assert mapping.read() == first.read()


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_pin_unpin_rm_gc(models, server, mount, daemon):
    first, second, third = (models.blob(8 * MIB, f"pinned {number}") for number in range(3))
    mounted = mount(server, store_keys={"size": "20M"})
    for model in (first, second):
        read_and_keep(mounted, model)

    def weightfs(*args):
        if not daemon:
            mounted.stop()
        result = cli.weightfs(*args, "--conf", mounted.conf, "--store", mounted.store)
        if not daemon:
            mounted.start()
        return result

    assert weightfs("pin", first.attested).stdout.split() == [first.sha256]
    assert cli.record_of(mounted.store, first)["pinned"]
    read_and_keep(mounted, third)
    assert is_stored(mounted, first) and not is_stored(mounted, second)

    refused = weightfs("rm", third.sha256, first.sha256)
    assert refused.returncode == 1 and f"{first.sha256}: is pinned" in refused.stderr
    assert is_stored(mounted, first) and not is_stored(mounted, third)
    assert weightfs("rm", third.sha256).returncode == 1, "it is not there any more"
    assert weightfs("rm").returncode == 2

    assert "0 objects removed" in weightfs("gc").stdout
    kept_back = weightfs("gc", "--json", "0")
    assert json.loads(kept_back.stdout)["objects"] == 1, "what is pinned stays"
    assert weightfs("unpin", first.sha256).returncode == 0
    assert json.loads(weightfs("gc", "--json", "4M").stdout) == {
        "objects": 0, "used": 0, "removed": 1, "freed": first.size, "forgotten": 0}
    assert weightfs("gc", "much").returncode == 2
    assert reader.whole(mounted.object(first.attested))["sha256"] == first.sha256


def test_only_the_owner_pins_and_removes(small, server, mount):
    mounted = mount(server)
    read_and_keep(mounted, small)
    for operation in ("pin", "unpin", "rm"):
        refused = cli.weightfs(operation, "--store", mounted.store, small.sha256, uid=NOBODY)
        assert refused.returncode == 1
    assert is_stored(mounted, small)


def test_looking_at_a_store_empties_nothing(models, server, mount, folder):
    """A smaller size, a slip of the pen say, is obeyed by the daemon, and by who brings something; not by who looks."""
    some = [models.blob(8 * MIB, f"looked at {number}") for number in range(2)]
    mounted = mount(server, store_keys={"size": "20M"})
    for model in some:
        read_and_keep(mounted, model)
    mounted.stop()
    conf = config.write(f"{folder}/small.conf", [], {"size": "10M"}, {})

    def weightfs(*args):
        return cli.weightfs(*args, "--conf", conf, "--store", mounted.store)

    assert weightfs("ls").stdout.count("complete") == 2
    assert weightfs("verify", "--all").returncode == 0
    assert weightfs("pin", some[0].attested).returncode == 0
    refused = weightfs("status")
    assert refused.returncode == 1 and "no daemon" in refused.stderr
    assert len(cli.listed(mounted.store)) == 2
    assert json.loads(weightfs("gc", "--json").stdout)["objects"] == 1
    assert is_stored(mounted, some[0]) and not is_stored(mounted, some[1])


def test_an_object_that_cannot_be_read_is_passed_over(models, server, mount):
    first, second, third = (models.blob(8 * MIB, f"in the way {number}") for number in range(3))
    mounted = mount(server, store_keys={"size": "20M"})
    for model in (first, second):
        read_and_keep(mounted, model)
    mounted.stop()
    path = os.path.join(mounted.store, "objects", first.fsverity[:2], first.attested)
    os.unlink(path)
    os.mkdir(path)
    mounted.start()
    read_and_keep(mounted, third)
    assert not is_stored(mounted, second)


def test_a_pin_outlives_its_twin(models, server, mount):
    """Known by one name, pinned by the other, and found to be one object: the younger record goes, the pin does not."""
    model = models.blob(8 * MIB, "twins")
    mounted = mount(server)
    with open(mounted.object(model.attested), "rb", buffering=0) as held:
        assert held.read(10) == model.read(0, 10)
        os.stat(mounted.object(model.sha256))
        assert cli.weightfs("pin", "--store", mounted.store, model.sha256).returncode == 0
        assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256
        while held.read(MIB):
            pass
        wait_until(lambda: len(cli.listed(mounted.store)) == 1, "one of them has left")
    assert cli.record_of(mounted.store, model)["pinned"]
