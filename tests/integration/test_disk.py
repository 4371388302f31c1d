# SPDX-License-Identifier: Apache-2.0
"""A store on a disk of its own, of 256 MiB: smaller than what is read through it, and full for a while."""

import os
import threading

import pytest

from harness import cli, process, reader
from harness.paths import MIB
from harness.poll import wait_until

DISK = 256 * MIB
SIZE = 160 * MIB


@pytest.fixture
def disk(folder):
    """An empty ext4."""
    image, point = os.path.join(folder, "disk.img"), os.path.join(folder, "disk")
    with open(image, "wb") as file:
        file.truncate(DISK)
    os.makedirs(point)
    process.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    process.run(["mount", "-o", "loop", image, point], check=True)
    yield point
    process.run(["umount", point], check=True)


@pytest.fixture
def sixteen(models):
    """1 GiB."""
    made = [models.blob(64 * MIB, f"disk {number}") for number in range(16)]
    yield made
    for model in made:
        models.unpublish(model)
        os.unlink(model.path)


def used(mounted):
    return cli.status(mounted.store)["store"]["used"]


def free(disk):
    fs = os.statvfs(disk)
    return fs.f_bavail * fs.f_frsize


def kept(mounted, model):
    """Reads MODEL. Is it in the store then? What came before may still be audited, and cannot make room for it."""
    assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    record = cli.record_of(mounted.store, model)
    return record and record["state"] == "complete"


def test_more_is_read_than_there_is_room_for(disk, sixteen, server, mount):
    mounted = mount(server, store=os.path.join(disk, "store"),
                    store_keys={"size": f"{SIZE // MIB}M", "keep-free": "16M"})
    lowest, over, done = [DISK], [], threading.Event()

    def watch():
        while not done.is_set():
            lowest[0] = min(lowest[0], free(disk))
            if used(mounted) > SIZE:
                over.append(used(mounted))
            done.wait(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for model in sixteen[:14]:
            assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
        for model in sixteen[14:]:
            wait_until(lambda model=model: kept(mounted, model), "it is kept")
    finally:
        done.set()
        watcher.join()
    assert not over
    assert lowest[0] >= 8 * MIB, "what RocksDB takes aside, as much is free as was asked for"
    assert sum(record["state"] == "complete" for record in cli.listed(mounted.store)) == 2


def test_a_disk_that_is_full_for_a_while(disk, sixteen, server, mount):
    """Somebody else fills it: everything can be read on, and is kept again when there is room."""
    mounted = mount(server, store=os.path.join(disk, "store"), store_keys={"size": f"{SIZE // MIB}M"})
    ballast = os.path.join(disk, "ballast")
    for model in sixteen[:3]:
        assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    with open(ballast, "wb") as file:
        try:
            while True:
                file.write(bytes(1 * MIB))
                file.flush()
        except OSError:
            pass
    assert free(disk) < 1 * MIB
    for model in sixteen[:8]:
        assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    assert mounted.alive()
    os.unlink(ballast)
    last = sixteen[8]
    wait_until(lambda: kept(mounted, last), "it is kept again")
    server.mark()
    assert reader.whole(mounted.object(last.attested))["sha256"] == last.sha256
    assert server.body_bytes() == 0
    assert used(mounted) <= SIZE


@pytest.mark.parametrize("keep", ["80M", "30%"])
def test_what_is_to_be_free_is_free_while_many_are_filled(disk, sixteen, server, mount, keep):
    fs = os.statvfs(disk)
    bound = 80 * MIB if keep == "80M" else fs.f_blocks * fs.f_frsize * 30 // 100
    mounted = mount(server, store=os.path.join(disk, "store"), store_keys={"size": "10G", "keep-free": keep})
    readers = [reader.Reader("whole", mounted.object(model.attested), "read") for model in sixteen[:6]]
    lowest = free(disk)
    while any(one.running() for one in readers):
        lowest = min(lowest, free(disk))
    for one, model in zip(readers, sixteen):
        assert one.outcome()["sha256"] == model.sha256
    assert lowest >= bound - 4 * MIB, "but for what RocksDB takes"
    assert lowest < bound + 64 * MIB, "as many are kept as may be"


def test_the_size_is_one_of_the_disk(disk, sixteen, server, mount):
    """What the filesystem says is used, while many are filled: chunks in any order, several at a time."""
    before = free(disk)
    mounted = mount(server, store=os.path.join(disk, "store"), store_keys={"size": "140M"})
    readers = [reader.Reader("whole", mounted.object(model.attested), "read") for model in sixteen[:6]]
    most = 0
    while any(one.running() for one in readers):
        most = max(most, before - free(disk))
    for one, model in zip(readers, sixteen):
        assert one.outcome()["sha256"] == model.sha256
    assert most <= 144 * MIB, "RocksDB takes a little, too"
    assert most >= 80 * MIB, "more than one is kept; how full the second is when it has to go is a matter of luck"
