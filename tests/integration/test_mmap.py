# SPDX-License-Identifier: Apache-2.0
"""Page faults over a cold object: at once, each chunk once, to be killed; and what prefetch fetches too much."""

import hashlib
import os
import random
import signal

import pytest

from harness import config, reader
from harness.models import Model, chunks
from harness.paths import CHUNK, KIB, MIB
from harness.poll import Timeout, wait_until
from harness.reader import Mapping, Reader
from harness.tensorfiles import write_gguf, write_safetensors


@pytest.fixture(scope="module")
def model(models):
    return models.blob(72 * MIB + 4097, "mmap")


@pytest.fixture
def gated(hostile, mount, model):
    """(server, the object's path): a source that sends nothing before its gate is opened."""
    server = hostile()
    # Fronts and sizes are not what is tested: they come from the same server, at once.
    source = config.Source("gated", server.url + "/gated", tree_base=server.url + "/honest")
    return server, mount(source).object(model.attested)


def asked(server, model):
    """The requests for the object's bytes: (first, last) of each, with those under way."""
    spans = []
    for record in server.log():
        if record["path"].endswith(model.blob_uri("attested")) and record["range"] != "bytes=0-0":
            first, last = record["range"].removeprefix("bytes=").split("-")
            spans.append((int(first), int(last)))
    return spans


def expected(model, offsets, length):
    return [hashlib.sha256(model.read(at, length)).hexdigest() for at in offsets]


def chunk_of(spans, chunk):
    return [span for span in spans if span[0] // CHUNK <= chunk <= span[1] // CHUNK]


def assert_each_chunk_once(server, model):
    fetched = [chunk for first, last in asked(server, model)
               for chunk in range(first // CHUNK, last // CHUNK + 1)]
    assert len(fetched) == len(set(fetched)), sorted(fetched)
    return set(fetched)


# ---- faults ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["fault", "private"])
def test_faults_in_distant_chunks_are_in_flight_together(gated, model, how):
    server, path = gated
    offsets = [9 * MIB * i + 300 * KIB for i in range(8)]
    mapping = Mapping(path, how, 8192, *offsets)
    # No byte has come yet: so all these wait at the same time. (A source is not sent all eight
    # before it has shown what it can.)
    wait_until(lambda: len(asked(server, model)) >= 4, "four requests at once")
    assert mapping.running()
    server.open_gate()
    assert mapping.outcome()["sha256"] == expected(model, offsets, 8192)
    fetched = assert_each_chunk_once(server, model)
    assert fetched >= {at // CHUNK for at in offsets}


def test_sixteen_threads_in_one_chunk_make_one_request(gated, model):
    server, path = gated
    offsets = [20 * MIB + 32 * KIB * i for i in range(16)]
    mapping = Mapping(path, "fault", 4096, *offsets)
    wait_until(lambda: chunk_of(asked(server, model), 20 * MIB // CHUNK), "the chunk is asked for")
    server.open_gate()
    assert mapping.outcome()["sha256"] == expected(model, offsets, 4096)
    assert len(chunk_of(asked(server, model), 20 * MIB // CHUNK)) == 1
    assert_each_chunk_once(server, model)


def test_a_fault_is_killed_at_once_and_others_go_on(gated, model):
    server, path = gated
    offsets = [9 * MIB * i for i in range(4)]
    victim, other = (Mapping(path, "fault", 4096, *offsets) for _ in range(2))
    wait_until(lambda: len(asked(server, model)) >= 4, "both wait for what does not come")
    os.killpg(victim.child.pid, signal.SIGKILL)
    wait_until(lambda: not victim.running(), "the victim is gone")
    assert victim.child.returncode == -signal.SIGKILL
    assert other.running()
    server.open_gate()
    assert other.outcome()["sha256"] == expected(model, offsets, 4096)
    assert reader.whole(path) == {"sha256": model.sha256, "size": model.size}
    assert_each_chunk_once(server, model)


def test_who_is_killed_alone_leaves_nothing_behind(gated, model):
    """Nobody waits for the chunk any more; the next who does gets it."""
    server, path = gated
    victim = Mapping(path, "fault", 4096, 30 * MIB)
    wait_until(lambda: asked(server, model), "the chunk is asked for")
    os.killpg(victim.child.pid, signal.SIGKILL)
    wait_until(lambda: not victim.running(), "the victim is gone")
    server.open_gate()
    assert Mapping(path, "fault", 4096, 30 * MIB).outcome()["sha256"] == \
        expected(model, [30 * MIB], 4096)


def test_fork_while_threads_fault(gated, model):
    server, path = gated
    offsets = [9 * MIB * i + 100 for i in range(6)]
    mapping = Mapping(path, "fork", 8192, *offsets)
    wait_until(lambda: len(asked(server, model)) >= 4, "threads wait for pages")
    # fork(2) needs the address space for itself: who waits for a page must not hold it.
    wait_until(lambda: any("forked" in line for line in mapping.lines()), "the child is there")
    assert mapping.running()
    server.open_gate()
    assert mapping.outcome()["sha256"] == expected(model, offsets, 8192)
    assert_each_chunk_once(server, model)


@pytest.mark.parametrize("how", ["populate", "willneed", "mixed"])
def test_every_way_into_a_mapping(model, hostile, mount, how):
    server = hostile()
    source = config.Source("honest", server.url + "/honest")
    path = mount(source).object(model.attested)
    offsets = [8 * MIB * i + 4096 * i + (i if how == "mixed" else 0) for i in range(8)]
    length = 3 * MIB + 17
    assert Mapping(path, how, length, *offsets).outcome()["sha256"] == \
        expected(model, offsets, length)
    fetched = assert_each_chunk_once(server, model)
    if how == "populate":
        assert fetched == set(range(chunks(model.size)))


def test_a_mapping_lives_on_when_its_object_completes(model, nginx, mount):
    """Mapped partial, faulted in while others complete it, and after."""
    server = nginx(rate="8m")
    path = mount(server).object(model.attested)
    offsets = [6 * MIB * i + 512 * i for i in range(12)]
    random.Random(1).shuffle(offsets)
    mappings = [Mapping(path, how, 5 * MIB, *offsets) for how in ("fault", "mixed")]
    readers = [Reader("whole", path, way) for way in ("read", "mmap")]
    for one in readers:
        assert one.outcome() == {"sha256": model.sha256, "size": model.size}
    for mapping in mappings:
        assert mapping.outcome()["sha256"] == expected(model, offsets, 5 * MIB)
    assert server.body_bytes(model.blob_uri("attested")) == model.size


# ---- what is fetched too much ----------------------------------------------------------------------

THREADS, READS, LENGTH, SLOT = 8, 6, 4 * MIB, 6 * MIB


@pytest.mark.heavy
@pytest.mark.parametrize("how", ["pread", "pread-own", "fault"])
def test_random_reads_fetch_little_more_than_they_ask(models, server, mount, how):
    """48 reads of 4 MiB at places that no two share, by eight threads, in rounds."""
    model = models.make((THREADS * READS + 1) * SLOT, "random")
    path = mount(server).object(model.attested)
    dice = random.Random(how)
    places = [SLOT * slot + dice.randrange(SLOT - LENGTH)
              for slot in dice.sample(range(THREADS * READS), THREADS * READS)]
    outcome = Mapping(path, how, LENGTH, *places, threads=THREADS).outcome()
    assert outcome["sha256"] == expected(model, places, LENGTH)
    fetched = server.body_bytes(model.blob_uri("attested"))
    ratio = fetched / (len(places) * LENGTH)
    print(f"{ratio:.3f} times what was read")
    assert ratio <= 1.3


# ---- what is known of the file ---------------------------------------------------------------------

def touched(begin, end):
    """Bytes of the chunks that [begin, end) lies in."""
    return (-(-end // CHUNK) - begin // CHUNK) * CHUNK


def brought_whole(server, file, model, begin, length):
    """Does the first page of the tensor at BEGIN fetch exactly that tensor?"""
    uri, wanted = model.blob_uri("attested"), touched(begin, begin + length)
    server.mark()
    assert os.pread(file.fileno(), 4096, begin) == model.read(begin, 4096)
    try:
        wait_until(lambda: server.body_bytes(uri) >= wanted, "the tensor is here", timeout=5)
    except Timeout:
        return False
    assert server.body_bytes(uri) == wanted
    return True


@pytest.mark.parametrize("write", [write_safetensors, write_gguf])
def test_the_first_page_of_a_tensor_brings_the_tensor(models, server, mount, write):
    path = os.path.join(models.folder, write.__name__)
    length = 5 * MIB
    data = write(path, 16, length)
    model = models.publish(Model(path))
    uri = model.blob_uri("attested")
    with open(mount(server).object(model.attested), "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 8, 0) == model.read(0, 8)
        # Far apart from each other, and of no stride. The header is parsed while the first are read.
        assert any(brought_whole(server, file, model, data + index * length, length)
                   for index in (9, 2, 14, 5, 11, 7))
        # And inside one: no more than is read, whole chunks and the kernel's own readahead.
        server.mark()
        begin = data + 12 * length + 2 * MIB + 123456
        assert os.pread(file.fileno(), 4096, begin) == model.read(begin, 4096)
        assert 0 < server.body_bytes(uri) <= 2 * CHUNK


def test_a_long_header_is_fetched_whole(models, server, mount):
    """Its length is in its first bytes: nobody has to read on."""
    path = os.path.join(models.folder, "long-header")
    data = write_safetensors(path, 20000, 256)
    assert data > 3 * CHUNK
    model = models.publish(Model(path))
    uri = model.blob_uri("attested")
    with open(mount(server).object(model.attested), "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        assert os.pread(file.fileno(), 8, 0) == model.read(0, 8)
        wait_until(lambda: server.body_bytes(uri) >= touched(0, data), "the header is here")
        assert server.body_bytes(uri) == touched(0, data)
        server.stop()
        assert os.pread(file.fileno(), data, 0) == model.read(0, data)
