# SPDX-License-Identifier: Apache-2.0
"""The store's database is damaged, or gone: the mount makes it again of the object files, by itself."""

import glob
import os
import random
import shutil
import signal
import time

import pytest

from harness import cli, reader
from harness.paths import CHUNK, MIB
from harness.poll import wait_until

REBUILDING = "the database is damaged .*; rebuilding it from the object files"


def noise(path, offset=0, length=None):
    size = os.path.getsize(path)
    length = size - offset if length is None else length
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(random.Random("noise").randbytes(min(length, size - offset)))


def one(store, pattern, which):
    return sorted(glob.glob(os.path.join(store, "meta", pattern)))[which]


# The last table is that of the last session: the pin's.
DAMAGES = {
    "manifest noise": lambda store: noise(one(store, "MANIFEST-*", -1)),
    "current missing": lambda store: os.unlink(one(store, "CURRENT", 0)),
    "current noise": lambda store: noise(one(store, "CURRENT", 0)),
    "table noise": lambda store: noise(one(store, "*.sst", 0)),
    "table noise in the middle": lambda store: noise(one(store, "*.sst", 0), 200, 300),
    "last table noise": lambda store: noise(one(store, "*.sst", -1)),
    "table missing": lambda store: os.unlink(one(store, "*.sst", 0)),
    "meta missing": lambda store: shutil.rmtree(os.path.join(store, "meta")),
}
PIN_SURVIVES = {"manifest noise", "current missing", "current noise", "table noise",
                "table noise in the middle", "table missing"}
TABLES_SURVIVE = {"manifest noise", "current missing", "current noise"}


class Stored:
    """A store with objects of all kinds, its daemon stopped."""

    def __init__(self, models, server, mount, **kwargs):
        self.attested = models.blob(8 * MIB + 4097, "rebuild attested")
        self.unattested = models.blob(5 * MIB + 1, "rebuild unattested")
        self.partial = models.blob(24 * MIB + 17, "rebuild partial")
        self.pinned = models.blob(3 * MIB, "rebuild pinned")
        self.server = server
        self.mounted = mount(server, fetch={"memory": "4M", "connections": 2}, **kwargs)
        self.store = self.mounted.store
        for model, kind in ((self.attested, "attested"), (self.pinned, "attested"),
                            (self.unattested, "unattested")):
            self.read(model, kind)
            wait_until(lambda: self.is_complete(model) and
                       cli.record_of(self.store, model).get("digest") == model.sha256, "complete")
        for offset in (0, 12 * MIB):
            reader.part(self.mounted.object(self.partial.attested), offset, 2 * CHUNK)
        self.mounted.stop()
        self.present = cli.record_of(self.store, self.partial)["present"]
        assert 4 * CHUNK <= self.present < self.partial.size
        cli.ok("pin", "--store", self.store, self.pinned.attested)

    def read(self, model, kind):
        assert reader.whole(self.mounted.object(model.name(kind))) == \
            {"sha256": model.sha256, "size": model.size}

    def is_complete(self, model):
        record = cli.record_of(self.store, model)
        return record is not None and record["state"] == "complete"

    def read_all(self):
        """All is right, and nothing that was here is fetched again, but for the front of the partial one."""
        self.server.mark()
        for model, kind in ((self.attested, "attested"), (self.pinned, "attested"),
                            (self.unattested, "unattested")):
            self.read(model, kind)
            assert self.server.body_bytes(model.blob_uri(kind)) == 0
        self.read(self.partial, "attested")
        assert self.server.body_bytes(self.partial.blob_uri("attested")) <= \
            self.partial.size - self.present


@pytest.fixture
def stored(models, server, mount):
    return Stored(models, server, mount)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_database(stored, how):
    DAMAGES[how](stored.store)
    start = len(stored.mounted.log())
    stored.mounted.start()
    stored.mounted.wait_for_log(REBUILDING, start)
    stored.mounted.wait_for_log("rebuilt: 3 of 4 objects are complete, 1 are here in part", start)
    usage = cli.status(stored.store)["store"]
    assert usage["objects"] == 4
    assert usage["used"] == sum(model.size for model in (
        stored.attested, stored.unattested, stored.partial, stored.pinned))
    assert cli.record_of(stored.store, stored.pinned)["pinned"] == (how in PIN_SURVIVES)
    if how in TABLES_SURVIVE:
        assert cli.record_of(stored.store, stored.unattested)["origins"] == ["local (uid 0)"]
    stored.read_all()
    assert cli.weightfs("verify", "--store", stored.store).returncode == 0
    stored.mounted.stop()
    # Once is enough.
    start = len(stored.mounted.log())
    stored.mounted.start()
    assert "rebu" not in stored.mounted.log()[start:]
    stored.read_all()
    assert os.path.isdir(os.path.join(stored.store, "meta.damaged")) == (how != "meta missing")


@pytest.mark.parametrize("how", ["manifest noise", "meta missing"])
def test_offline(stored, how):
    """Complete objects open. Of the partial one what is here can be read only if its front is, too."""
    DAMAGES[how](stored.store)
    stored.server.stop()
    mounted = stored.mounted
    mounted.command[4] += ",offline"
    mounted.start()
    for model, kind in ((stored.attested, "attested"), (stored.unattested, "unattested")):
        stored.read(model, kind)
    partial = mounted.object(stored.partial.attested)
    assert os.stat(partial).st_size == stored.partial.size
    start = len(mounted.log())
    got = reader.part(partial, 0, CHUNK)
    if how == "meta missing":
        assert got["errno"] == "ENODATA"
    else:
        assert "errno" not in got
    for _ in range(3):
        assert reader.part(partial, 20 * MIB, CHUNK)["errno"] == "ENODATA"
    assert "tree" not in mounted.log()[start:]


def test_a_flipped_byte_on_top_of_it(stored):
    """Of an attested object only the chunk is fetched again; one of which just its SHA-256 is known, as a whole."""
    flipped = {}
    for model, name in ((stored.attested, stored.attested.attested),
                        (stored.unattested, stored.unattested.sha256)):
        path = os.path.join(stored.store, "objects", cli.bare(name)[:2], name)
        with open(path, "r+b") as file:
            file.seek(3 * CHUNK + 5)
            byte = file.read(1)
            file.seek(3 * CHUNK + 5)
            file.write(bytes([byte[0] ^ 1]))
        flipped[model] = path
    DAMAGES["meta missing"](stored.store)
    start = len(stored.mounted.log())
    stored.mounted.start()
    stored.mounted.wait_for_log(
        f"{stored.unattested.sha256}: nothing can tell which bytes", start)
    assert not os.path.exists(flipped[stored.unattested])
    stored.server.mark()
    stored.read(stored.attested, "attested")
    stored.read(stored.unattested, "unattested")
    assert stored.server.body_bytes(stored.attested.blob_uri("attested")) == CHUNK
    assert stored.server.body_bytes(stored.unattested.blob_uri("unattested")) >= \
        stored.unattested.size


def test_a_command_rebuilds_as_well(stored):
    DAMAGES["manifest noise"](stored.store)
    result = cli.weightfs("ls", "--json", "--store", stored.store)
    assert result.returncode == 0
    assert "rebuilding it from the object files" in result.stderr
    assert "rebuilt: 3 of 4" in result.stderr
    assert stored.is_complete(stored.attested)
    stored.mounted.start()
    stored.read_all()


# ---- ended in the middle -----------------------------------------------------------------------------

@pytest.fixture
def plenty(models, server, mount):
    """A store that takes a moment to rebuild, and what is in it."""
    made = [models.blob(96 * MIB, f"plenty {number}") for number in range(4)]
    mounted = mount(server, start=False)
    for model in made:
        cli.ok("add", "--store", mounted.store, model.path)
    yield mounted, made
    for model in made:
        models.unpublish(model)
        os.unlink(model.path)


def test_killed_in_the_middle(plenty, server):
    mounted, made = plenty
    dice, interrupted = random.Random(3), 0
    DAMAGES["meta missing"](mounted.store)
    for _ in range(6):
        start = len(mounted.log())
        mounted.launch()
        mounted.wait_for_log("rebuilding it from|looked at|is mounted on", start)
        deadline = time.monotonic() + dice.uniform(0, 0.15)
        wait_until(lambda: time.monotonic() > deadline, "a random moment", interval=0.005)
        mounted.crash()
        interrupted += "rebuilt:" not in mounted.log()[start:]
        if "rebuilt:" in mounted.log()[start:]:
            DAMAGES["meta missing"](mounted.store)
    assert interrupted > 0, "no rebuild was killed in the middle: the test shows nothing"
    server.mark()
    mounted.start()
    for model in made:
        assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256
        assert cli.record_of(mounted.store, model)["state"] == "complete"
    assert server.requests() == []


def test_asked_to_end_in_the_middle(plenty):
    mounted, made = plenty
    DAMAGES["meta missing"](mounted.store)
    mounted.launch()
    mounted.wait_for_log("rebuilding it from")
    mounted.child.send_signal(signal.SIGTERM)
    assert mounted.child.wait(60) == 0
    mounted.child = None
    assert "rebuilding was interrupted" in mounted.log()
    records = cli.listed(mounted.store)
    assert len(records) == 4 and all(record["state"] == "complete" for record in records)


# ---- while it is in use ------------------------------------------------------------------------------

def test_damaged_while_mounted(models, server, mount):
    """The daemon lives, and the next one rebuilds. Fronts that are too large to be cached show it."""
    mounted = mount(server)
    made = [models.blob(70 * MIB + number, f"in use {number}") for number in range(3)]
    for model in made:
        reader.part(mounted.object(model.attested), 0, CHUNK)
    mounted.stop()
    mounted.start()
    table = one(mounted.store, "*.sst", -1)
    with open(table, "rb") as file:
        place = file.read().find(made[1].front[:64])
    assert place > 0, "the front is in the table"
    for model in made:
        with open(table, "rb") as file:
            noise(table, file.read().find(model.front[4096:4160]), 64)
    outcomes = [reader.part(mounted.object(model.attested), MIB, CHUNK) for model in made]
    assert any(outcome.get("errno") == "EIO" for outcome in outcomes)
    assert mounted.alive()
    mounted.wait_for_log("the database is damaged, and is rebuilt at the next start")
    mounted.stop()
    mounted.start()
    mounted.wait_for_log(REBUILDING)
    for model in made:
        assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    for model in made:
        models.unpublish(model)
        os.unlink(model.path)
