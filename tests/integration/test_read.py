# SPDX-License-Identifier: Apache-2.0
"""What is read through the mount is the model, however it is read and by whom."""

import hashlib
import os
import random
import subprocess

import pytest

from conftest import NOBODY
from harness import process, reader
from harness.paths import BLOCK, CHUNK, KIB, MIB
from harness.reader import Reader

KINDS = ["attested", "unattested"]


@pytest.mark.parametrize("kind", KINDS)
def test_digest_tools_agree_on_the_large_model(big, server, mount, kind):
    path = mount(server).object(big.name(kind))
    assert os.stat(path).st_size == big.size
    assert process.run(["openssl", "dgst", "-sha256", "-r", path], check=True,
                       timeout=600).stdout.split()[0] == big.sha256
    assert process.run(["sha256sum", path], check=True, uid=NOBODY,
                       timeout=600).stdout.split()[0] == big.sha256
    assert server.body_bytes(big.blob_uri(kind)) == big.size, "each byte came once"


@pytest.mark.parametrize("uid", [0, NOBODY], ids=["root", "nobody"])
@pytest.mark.parametrize("kind", KINDS)
def test_cold_read_by_any_user(medium, server, mount, kind, uid):
    assert reader.whole(mount(server).object(medium.name(kind)), uid=uid) == \
        {"sha256": medium.sha256, "size": medium.size}


@pytest.mark.parametrize("state", ["cold", "warm"])
@pytest.mark.parametrize("way", ["read", "small", "mmap", "mmap-pages", "sendfile", "odd"])
def test_every_way_of_reading(models, server, mount, way, state):
    model = models.blob(5 * MIB + 4097, "ways")
    path = mount(server).object(model.attested)
    if state == "warm":
        reader.whole(path)
    assert reader.whole(path, way) == {"sha256": model.sha256, "size": model.size}


@pytest.mark.parametrize("kind", KINDS)
def test_cp_cat_dd_cmp(medium, server, mount, folder, kind):
    path, copy = mount(server).object(medium.name(kind)), os.path.join(folder, "copy")
    process.run(["dd", f"if={path}", "of=/dev/null", "bs=4097", "skip=4001", "count=33"], check=True)
    process.run(["cp", path, copy], check=True)
    process.run(["cmp", copy, medium.path], check=True)
    process.run(["cmp", path, medium.path], check=True)
    with open(copy, "wb") as out:
        subprocess.run(["cat", path], stdout=out, check=True, timeout=120)
    process.run(["cmp", copy, medium.path], check=True)


@pytest.mark.parametrize("block", [1021, 4095, 4097, 65537, 524289])
def test_dd_at_odd_offsets(medium, server, mount, block):
    path = mount(server).object(medium.attested)
    for skip in (0, 1, 7, 13):
        piece = process.run(["dd", f"if={path}", f"bs={block}", f"skip={skip}", "count=3",
                             "status=none"], check=True, text=False).stdout
        assert piece == medium.read(skip * block, 3 * block)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [
    0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17, 16 * MIB - 1, 16 * MIB,
    16 * MIB + 1, 128 * CHUNK + 1])
def test_sizes_around_every_boundary(models, server, mount, kind, size):
    model = models.blob(size, "boundary")
    path = mount(server).object(model.name(kind))
    assert os.stat(path).st_size == size
    assert reader.whole(path) == {"sha256": model.sha256, "size": size}
    # Once more, now that it is complete, and by the other ways.
    for way in ("mmap", "odd"):
        assert reader.whole(path, way) == {"sha256": model.sha256, "size": size}


@pytest.mark.parametrize("size", [0, 1, 4097, CHUNK, 3 * CHUNK + 17])
def test_reads_at_and_beyond_the_end(models, server, mount, size):
    model = models.blob(size, "end")
    path = mount(server).object(model.attested)
    for offset in {max(0, size - 1), max(0, size - 10), size, size + 1, size + BLOCK, size + CHUNK,
                   size + 100 * MIB}:
        expected = model.read(offset, 5000)
        assert reader.part(path, offset, 5000)["size"] == len(expected)
        with open(path, "rb") as file:
            assert os.pread(file.fileno(), 5000, offset) == expected


def test_4_kib_in_the_middle_move_at_most_a_mebibyte(big, server, mount):
    """The point of the Merkle tree: one chunk, and the front of the tree."""
    path = mount(server).object(big.attested)
    middle = big.size // 2 // BLOCK * BLOCK
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), BLOCK, middle) == big.read(middle, BLOCK)
    requests = server.requests(probes=True)
    sent = sum(r["body"] for r in requests)
    assert len(requests) == 2
    assert CHUNK <= sent <= 1 * MIB + big.front_size, requests
    # 32 bytes for each chunk, in blocks, and what is above: a hundredth of a percent of a large model.
    assert big.front_size <= big.size / 10000 + 2 * BLOCK


def test_random_reads_are_right_and_fetch_no_chunk_twice(medium, server, mount):
    dice = random.Random(4)
    path = mount(server).object(medium.attested)
    with open(path, "rb", buffering=0) as file:
        for _ in range(150):
            offset = dice.randrange(medium.size)
            length = dice.choice((1, 100, BLOCK, 10000, 3 * CHUNK))
            assert os.pread(file.fileno(), length, offset) == medium.read(offset, length)
    assert reader.whole(path)["sha256"] == medium.sha256
    assert server.body_bytes(medium.blob_uri("attested")) == medium.size


@pytest.mark.parametrize("kind", KINDS)
def test_eight_processes_share_one_download(medium, nginx, mount, kind):
    server = nginx(rate="16m")
    path = mount(server).object(medium.name(kind))
    readers = [Reader("whole", path, way) for way in ("read", "small", "mmap", "sendfile") * 2]
    for one in readers:
        assert one.outcome() == {"sha256": medium.sha256, "size": medium.size}
    assert server.body_bytes(medium.blob_uri(kind)) == medium.size


def test_a_hundred_readers_of_a_chunk_make_one_request(models, nginx, mount):
    model = models.blob(8 * MIB, "hundred")
    server = nginx(rate="2m")
    path = mount(server).object(model.attested)
    offset = 6 * CHUNK
    outcome = reader.together(path, offset, 100)
    assert outcome["sha256"] == hashlib.sha256(model.read(offset, 100 * BLOCK)).hexdigest()
    touching = [r for r in server.requests(model.blob_uri("attested")) if covers(r, offset)]
    assert len(touching) == 1, touching


def covers(request, offset):
    first, last = request["range"].removeprefix("bytes=").split("-")
    return int(first) <= offset <= int(last)


def test_warm_reads_need_no_network(medium, server, mount):
    path = mount(server).object(medium.attested)
    reader.whole(path)
    server.mark()
    server.stop()
    for way in ("read", "mmap", "sendfile"):
        assert reader.whole(path, way) == {"sha256": medium.sha256, "size": medium.size}


def test_a_complete_object_survives_a_remount_and_needs_no_source(medium, server, mount):
    first = mount(server)
    for kind in KINDS:
        assert reader.whole(first.object(medium.name(kind)))["sha256"] == medium.sha256
    first.stop()
    server.stop()
    again = mount(again=first)
    for name in (medium.sha256, medium.attested, f"sha256-{medium.sha256}"):
        assert reader.whole(again.object(name)) == {"sha256": medium.sha256, "size": medium.size}


def test_offline_reads_what_is_here_and_nothing_else(models, medium, server, mount):
    three = models.blob(32 * MIB, "offline")
    online = mount(server)
    assert reader.whole(online.object(medium.attested))["sha256"] == medium.sha256
    assert reader.part(online.object(three.attested), 1 * MIB, 100)["size"] == 100
    online.stop()
    server.mark()
    offline = mount(server, store=online.store, options=["offline"])
    assert reader.whole(offline.object(medium.attested))["sha256"] == medium.sha256
    assert reader.part(offline.object(three.attested), 30 * MIB, 100) == {"errno": "ENODATA"}
    assert not server.requests(probes=True), "offline means no request"


def test_nopassthrough_serves_the_same(medium, server, mount):
    mounted = mount(server, options=["nopassthrough"])
    for _ in range(2):
        for way in ("read", "mmap", "odd"):
            assert reader.whole(mounted.object(medium.attested), way)["sha256"] == medium.sha256


def test_an_open_partial_file_goes_on_when_it_becomes_complete(medium, server, mount):
    """The handle was opened partial; a second one completes the object under it."""
    path = mount(server).object(medium.attested)
    with open(path, "rb", buffering=0) as old:
        assert old.read(1000) == medium.read(0, 1000)
        by_proc = f"/proc/self/fd/{old.fileno()}"
        assert reader.whole(path)["sha256"] == medium.sha256
        assert os.pread(old.fileno(), 5000, medium.size - 5000) == medium.read(medium.size - 5000)
        with open(by_proc, "rb") as reopened:
            assert reopened.read() == medium.read()
    with open(path, "rb") as new:
        assert new.read() == medium.read()


def test_a_handle_by_o_path_survives_completion(medium, server, mount):
    path = mount(server).object(medium.attested)
    handle = os.open(path, os.O_PATH)
    try:
        reader.whole(path)
        with open(f"/proc/self/fd/{handle}", "rb") as file:
            assert file.read() == medium.read()
    finally:
        os.close(handle)


def test_readahead_and_fadvise_hints_do_no_harm(medium, server, mount):
    path = mount(server).object(medium.attested)
    for _ in range(2):  # partial, then complete
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 4 * MIB, os.POSIX_FADV_WILLNEED)
            os.posix_fadvise(file.fileno(), 64 * KIB, 0, os.POSIX_FADV_SEQUENTIAL)
            assert file.read(8 * MIB)[:100] == medium.read(0, 100)
        assert reader.whole(path)["sha256"] == medium.sha256


@pytest.mark.native
def test_memory_and_descriptors_stay_bounded(big, server, mount):
    mounted = mount(server, fetch={"memory": "16M"})
    before = mounted.descriptors()
    for kind in KINDS:
        assert reader.whole(mounted.object(big.name(kind)), timeout=600)["sha256"] == big.sha256
    for _ in range(50):
        assert reader.part(mounted.object(big.attested), 12345, 10)["size"] == 10
    assert mounted.memory_peak() <= 64 * MIB + 16 * MIB
    assert mounted.descriptors() <= before + 16 + 8, "connections that are kept, no more"


@pytest.mark.parametrize("buffers", [1, 2, 3])
def test_the_least_memory_is_enough(buffers, medium, server, mount):
    # What is kept in memory for readers to come must not be all the memory there is.
    mounted = mount(server, fetch={"connections": buffers, "memory": f"{buffers * 512}K",
                                   "read_deadline": "10s"})
    handle = os.open(mounted.object(medium.attested), os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        for chunk in (3, 9, 5, 20, 40, 60):
            assert os.pread(handle, 4096, chunk * CHUNK) == medium.read(chunk * CHUNK, 4096)
        assert reader.whole(mounted.object(medium.unattested))["sha256"] == medium.sha256
    finally:
        os.close(handle)
