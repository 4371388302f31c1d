# SPDX-License-Identifier: Apache-2.0
"""The power is cut, again and again: what was acknowledged holds, what was not is verified again, no byte is wrong."""

import json
import os
import random
import threading
import time

import pytest

from harness import cli, process, reader
from harness.crashing import RandomReaders, errors, reads, recorded, refetched
from harness.disk import FLUSH_LOG, LOSE_LOG, MKFS, Disk
from harness.mount import Booted
from harness.paths import BLOCK, CHUNK, LONG, MIB

ROUNDS = 100 if LONG else 5
READERS = 8


@pytest.fixture
def disk(folder):
    made = []

    def make(kind):
        made.append(Disk(folder, 512 * MIB, kind))
        return made[0]

    yield make  # and the daemon is gone: its fixture is a later one
    for one in made:
        one.umount()


class Owner(threading.Thread):
    """Pins, unpins and removes, and notes what it was promised."""

    def __init__(self, store, models, dice):
        super().__init__()
        self.store, self.models, self.dice = store, models, dice
        self.pinned, self.complete, self.removed, self.acknowledged = {}, set(), set(), 0
        self.done = threading.Event()

    def look(self):
        answer = cli.weightfs("ls", "--json", "--store", self.store)
        if answer.returncode == 0:
            complete = {cli.bare(record["fsverity"]) for record in map(json.loads, answer.stdout.splitlines())
                        if record["state"] == "complete"}
            self.complete.update(model for model in self.models if model.fsverity in complete)

    def act(self):
        model = self.dice.choice(self.models)
        what = self.dice.choice(["pin", "pin", "unpin", "rm"])
        # Until it is acknowledged, it may or may not be so.
        if what == "rm":
            self.removed.add(model)
            self.complete.discard(model)
        was = self.pinned.pop(model, None)
        answer = cli.weightfs(what, "--store", self.store, model.attested)
        if answer.returncode == 0:
            self.acknowledged += 1
            if what != "rm":
                self.pinned[model] = what == "pin"
        elif "is pinned" in answer.stderr and was is not None:
            self.pinned[model] = was

    def run(self):
        while not self.done.is_set():
            self.act()
            self.look()

    def end(self):
        self.done.set()
        self.join()

    def check(self, records):
        """What was acknowledged is in RECORDS; what they call complete is."""
        for model, pinned in self.pinned.items():
            record = records.get(model.fsverity)
            assert record and record.pinned == pinned, f"{model.attested}: pinned {pinned} was lost"
        for model in self.complete:
            record = records.get(model.fsverity)
            assert record and record.complete, f"{model.attested} was complete"
        for model in self.models:
            if model.fsverity in records and records[model.fsverity].complete:
                with open(stored(self.store, model), "rb") as file:
                    assert file.read() == model.read(), f"{model.attested} is not what its record says"


def stored(store, model):
    return os.path.join(store, "objects", model.fsverity[:2], model.attested)


def torn(records, store, models, dice):
    """Blocks of partial objects that never reached the disk. What of RECORDS the disk has is left in them."""
    spoiled = 0
    for model in models:
        record = records.get(model.fsverity)
        path = stored(store, model)
        if not record or record.complete or not record.chunks:
            continue
        if not os.path.exists(path) or os.path.getsize(path) != model.size:
            record.chunks = {}
            continue
        with open(path, "r+b") as file:
            for chunk in dice.sample(sorted(record.chunks), min(2, len(record.chunks))):
                file.seek(chunk * CHUNK + dice.randrange(min(CHUNK, model.size - chunk * CHUNK)) // BLOCK * BLOCK)
                file.write(dice.choice([bytes(512), dice.randbytes(512)])[:model.size - file.tell()])
                spoiled += 1
            for chunk in list(record.chunks):
                file.seek(chunk * CHUNK)
                if file.read(CHUNK) != model.read(chunk * CHUNK, CHUNK):
                    del record.chunks[chunk]
    return spoiled


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_power_cuts(models, server, link, disk, mount, kind):
    if kind == "xfs" and process.run(["sh", "-c", "command -v mkfs.xfs && grep -qw xfs /proc/filesystems"]).returncode:
        pytest.skip("no xfs here")
    rounds = ROUNDS if kind == "ext4" else max(4, ROUNDS // 5)
    dice, place = random.Random(kind), disk(kind)
    made = [models.blob(size, "power") for size in (20 * MIB + 4097, 8 * MIB, 5 * CHUNK + 1, 70001, 1)]
    store = os.path.join(place.point, "store")
    whole = models.blob(3 * CHUNK + 17, "power, unattested")
    mounted = mount(link(server, 6 * MIB), store=store, kind=Booted, fetch={"connections": 4}, start=False)
    records, sums = {}, {"reads": 0, "acknowledged": 0, "hints": 0, "spoiled": 0, "complete": 0}
    for number in range(rounds):
        place.mount()
        sums["spoiled"] += torn(records, store, made, dice)
        sums["hints"] += sum(len(record.chunks) for record in set(records.values()))
        server.mark()
        mounted.start()
        readers = RandomReaders(number, READERS, [(mounted.object(model.attested), model.path) for model in made] +
                                [(mounted.object(whole.unattested), whole.path)])
        owner = Owner(store, made, dice)
        owner.start()
        time.sleep(dice.uniform(0.1, 0.8))
        if dice.random() < 0.7:  # some of what is not complete has reached the disk as well
            process.run(["sync", "-f", place.point], check=True)
        time.sleep(dice.uniform(0, 0.3))  # the moment of the cut
        asked = server.ended()
        place.cut(dice.choice([LOSE_LOG, LOSE_LOG, FLUSH_LOG]))
        time.sleep(dice.choice([0, dice.uniform(0, 0.3)]))  # a daemon whose disk is gone
        assert mounted.alive()
        owner.end()
        process.kill_group(mounted.child)
        said = readers.end()
        mounted.crash()
        assert errors(said) <= {"short", "EIO"}, f"round {number}: {said}"
        # Hints that are right are not fetched again, unless the object was removed.
        again = refetched(asked, records, set(made) - owner.removed)
        assert not again, f"round {number}: {again}"
        place.umount()
        place.mount()
        records = recorded(store)
        owner.check(records)
        sums["reads"] += reads(said)
        sums["acknowledged"] += owner.acknowledged
        sums["complete"] += len(owner.complete)
        place.umount()
    print(f"{kind}: {rounds} cuts: {sums}")
    assert all(sums.values()), sums
    place.mount()
    mounted.start()
    for model in made:
        assert reader.whole(mounted.object(model.attested)) == {"sha256": model.sha256, "size": model.size}
    mounted.stop()
    cli.ok("verify", "--store", store)
