# SPDX-License-Identifier: Apache-2.0
"""Bytes that change on the disk: `verify` and every read that is not passed through find them, and fetch what is wrong again."""

import errno
import glob
import hashlib
import json
import os
import random
import subprocess

import pytest

from harness import cli, process, reader
from harness.models import chunks
from harness.paths import CHUNK, MIB
from harness.poll import wait_until
from harness.reader import Reader

FLIPS = 1000
NO_PASSTHROUGH = ["nopassthrough"]


def stored_file(store, model):
    """The file in the store; named by whichever digest the object was first known."""
    found = [path for name in (model.attested, model.sha256)
             for path in glob.glob(os.path.join(store, "objects", "*", name))]
    assert len(found) == 1
    return found[0]


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << offset % 8]))


def complete(store, model):
    record = cli.record_of(store, model)
    return record is not None and record["state"] == "complete"


def piece(model, offset, length):
    return {"sha256": hashlib.sha256(model.read(offset, length)).hexdigest(), "size": length}


def read_all(mounted, some, kind="attested"):
    for model in some:
        assert reader.whole(mounted.object(model.name(kind))) == \
            {"sha256": model.sha256, "size": model.size}
        wait_until(lambda: complete(mounted.store, model), "complete")


def verified(store, *args):
    """What `verify --json` says of each object, by name."""
    result = cli.weightfs("verify", "--json", "--store", store, *args)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == (0 if all(line["ok"] for line in lines) else 1), result.stderr
    return {line["name"]: line for line in lines}


@pytest.fixture
def three(models):
    return [models.blob(size, "repair") for size in (20 * MIB + 4097, 9 * MIB, CHUNK - 1)]


@pytest.fixture
def filled(three, server, mount):
    """A daemon that was stopped, its store full of three objects that are complete."""
    mounted = mount(server, options=NO_PASSTHROUGH)
    read_all(mounted, three)
    mounted.stop()
    return mounted


def damage(store, some, seed):
    """FLIPS single bits, each in a byte of its own: the chunks that are wrong now, by model."""
    dice, wrong, places = random.Random(seed), {}, set()
    while len(places) < FLIPS:
        model = dice.choice(some)
        offset = dice.randrange(model.size)
        if offset // CHUNK % 3 != 1:  # some are good
            places.add((model, offset))
    for model, offset in places:
        flip(stored_file(store, model), offset)
        wrong.setdefault(model, set()).add(offset // CHUNK)
    return wrong


def lost_bytes(model, wrong):
    last = chunks(model.size) - 1
    return sum(model.size - last * CHUNK if chunk == last else CHUNK for chunk in wrong)


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_verify_finds_every_flip(filled, three, server, daemon):
    wrong = damage(filled.store, three, "verify")
    if daemon:
        filled.start()
    found = verified(filled.store, "--all")
    assert {model: set(found[model.sha256]["chunks"]) for model in three} == \
        {model: wrong.get(model, set()) for model in three}
    for model in three:
        assert cli.record_of(filled.store, model)["present"] == \
            model.size - lost_bytes(model, wrong[model])
    again = verified(filled.store)
    assert all(line["ok"] for line in again.values()), "what is wrong has left the store"
    if not daemon:
        filled.start()
    server.mark()
    read_all(filled, three)
    for model in three:
        assert server.body_bytes(model.blob_uri("attested")) == lost_bytes(model, wrong[model])
    assert all(line["ok"] for line in verified(filled.store).values())


@pytest.mark.parametrize("way", ["read", "small", "odd", "mmap", "sendfile"])
def test_reads_find_and_repair_every_flip(filled, three, server, way):
    wrong = damage(filled.store, three, way)
    filled.start()
    server.mark()
    for model in three:
        assert reader.whole(filled.object(model.attested), way)["sha256"] == model.sha256
        assert server.body_bytes(model.blob_uri("attested")) == lost_bytes(model, wrong[model])
        wait_until(lambda: complete(filled.store, model), "complete again")
    assert filled.log().count(" is damaged; ") == sum(map(len, wrong.values()))
    filled.stop()
    assert all(line["ok"] for line in verified(filled.store).values())


def test_many_readers_of_a_damaged_object(filled, three, server):
    wrong = damage(filled.store, three[:1], "many")
    filled.start()
    server.mark()
    path = filled.object(three[0].attested)
    for one in [Reader("whole", path, way) for way in ("read", "odd", "mmap", "sendfile") * 2]:
        assert one.outcome()["sha256"] == three[0].sha256
    assert server.body_bytes(three[0].blob_uri("attested")) == lost_bytes(three[0], wrong[three[0]])


def test_one_known_by_its_sha256(three, server, mount):
    """It was attested by the store itself: what is damaged of it is fetched by either digest."""
    model = three[0]
    mounted = mount(server, options=NO_PASSTHROUGH)
    read_all(mounted, [model], "unattested")
    mounted.stop()
    flip(stored_file(mounted.store, model), 5 * MIB)
    mounted.start()
    server.mark()
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256
    assert sum(server.body_bytes(model.blob_uri(kind)) for kind in ("attested", "unattested")) == CHUNK


def test_what_no_source_has_any_more(filled, models, server):
    model = models.blob(3 * MIB, "nobody has it")
    filled.start()
    read_all(filled, [model])
    filled.stop()
    models.unpublish(model)
    flip(stored_file(filled.store, model), MIB)
    filled.start()
    path = filled.object(model.attested)
    assert reader.part(path, MIB, 10)["errno"] == "EIO"
    for offset in (0, MIB - CHUNK, MIB + CHUNK, model.size - 10):
        assert "errno" not in reader.part(path, offset, 10), "the rest is as good as ever"
    assert cli.record_of(filled.store, model)["present"] == model.size - CHUNK
    assert f"chunk 2 of {model.attested} is damaged" in filled.log()


def test_offline(three, server, mount):
    mounted = mount(server, options=NO_PASSTHROUGH)
    read_all(mounted, three)
    mounted.stop()
    flip(stored_file(mounted.store, three[0]), MIB)
    offline = mount(server, options=NO_PASSTHROUGH + ["offline"], store=mounted.store)
    path = offline.object(three[0].attested)
    assert reader.part(path, MIB, 10)["errno"] == "ENODATA"
    assert reader.part(path, 4 * MIB, 10)== piece(three[0], 4 * MIB, 10)
    assert reader.whole(offline.object(three[1].attested))["sha256"] == three[1].sha256


@pytest.mark.parametrize("to", [0, 5 * MIB + 3, -1, +1], ids=["empty", "half", "shorter", "longer"])
def test_a_file_of_another_length(filled, three, server, to):
    model = three[0]
    length = to if to not in (-1, 1) else model.size + to
    os.truncate(stored_file(filled.store, model), length)
    filled.start()
    server.mark()
    assert reader.whole(filled.object(model.attested))["sha256"] == model.sha256
    kept = length // CHUNK * CHUNK if length < model.size else model.size
    assert server.body_bytes(model.blob_uri("attested")) == model.size - kept
    wait_until(lambda: complete(filled.store, model), "complete again")


def test_a_partial_object(three, server, mount):
    """Its chunks are verified when it is opened again, and, when the last has come, those that nobody read."""
    model = three[0]
    mounted = mount(server)
    path = mounted.object(model.attested)
    for offset in (0, 2 * MIB, 7 * MIB):
        reader.part(path, offset, 10)
    present = cli.record_of(mounted.store, model)["present"]
    assert 0 < present < model.size
    mounted.stop()
    for offset in (100, 7 * MIB + 100):
        flip(stored_file(mounted.store, model), offset)
    mounted.start()
    server.mark()
    assert reader.part(path, 0, 10)== piece(model, 0, 10)
    assert server.body_bytes(model.blob_uri("attested")) >= CHUNK
    assert reader.whole(path)["sha256"] == model.sha256
    wait_until(lambda: complete(mounted.store, model), "complete")
    assert server.body_bytes(model.blob_uri("attested")) == model.size - present + 2 * CHUNK
    assert all(line["ok"] for line in verified(mounted.store).values())


def test_what_nobody_reads_is_verified_before_the_object_is_complete(three, server, mount):
    model = three[1]
    mounted = mount(server)
    path = mounted.object(model.attested)
    with open(path, "rb", buffering=0) as file:
        for offset in range(0, model.size - CHUNK, CHUNK):
            os.pread(file.fileno(), 1, offset)
    # Readers are answered before their chunks are on the disk.
    wait_until(lambda: model.size - cli.record_of(mounted.store, model)["present"] == CHUNK, "one chunk is missing")
    mounted.stop()
    flip(stored_file(mounted.store, model), 2 * MIB)
    mounted.start()
    assert reader.part(path, model.size - 1, 1)== piece(model, model.size - 1, 1)
    wait_until(lambda: cli.record_of(mounted.store, model)["present"] == model.size - CHUNK,
               "the damaged chunk was found, though nobody read it")
    assert not complete(mounted.store, model)
    assert reader.whole(path)["sha256"] == model.sha256
    wait_until(lambda: complete(mounted.store, model), "complete")


def test_verify_at_a_rate(filled, three):
    """It ends, and says the same; that it takes its time is not measured."""
    flip(stored_file(filled.store, three[2]), 1)
    found = verified(filled.store, "--all", "--rate", "200M")
    assert [line["name"] for line in found.values() if not line["ok"]] == [three[2].sha256]
    for bad in ("", "fast", "-1", "0"):
        assert cli.weightfs("verify", "--rate", bad, "--store", filled.store).returncode == 2
    assert cli.weightfs("verify", "--all", three[0].sha256, "--store", filled.store).returncode == 2


def test_a_read_error_of_the_disk_is_a_damaged_chunk(filled, three, server):
    """EIO where a chunk is stored: it is fetched, and written over. The reader hears nothing of it."""
    filled.start()
    server.mark()
    log = os.path.join(filled.folder, "strace.log")
    with open(log, "w") as said:
        strace = process.spawn(
            ["strace", "-f", "-p", str(filled.child.pid), "-o", "/dev/null", "-P",
             stored_file(filled.store, three[0]), "-e", "inject=pread64:error=EIO:when=1"],
            stdin=subprocess.DEVNULL, stderr=said)
    try:
        wait_until(lambda: open(log).read().count("attached"), "strace is attached")
        assert reader.whole(filled.object(three[0].attested))["sha256"] == three[0].sha256
    finally:
        strace.terminate()
        strace.wait()
    # The fault comes once a thread.
    assert 0 < server.body_bytes(three[0].blob_uri("attested")) <= 10 * CHUNK
    assert os.strerror(errno.EIO) in filled.log()
    assert all(line["ok"] for line in verified(filled.store).values())
