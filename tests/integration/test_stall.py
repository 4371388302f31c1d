# SPDX-License-Identifier: Apache-2.0
"""A disk that takes long to write: who reads what is here, or what comes from the network, does not wait for it."""

import glob
import os
import subprocess

from harness import cli, process, reader
from harness.crashing import RandomReaders, errors
from harness.inject import Injection
from harness.paths import CHUNK, MIB, SANITIZER, WEIGHTFS
from harness.poll import wait_until
from harness.reader import Reader

# What a write takes. A read that waited for one would take as long.
DELAY = 30 if SANITIZER else 6


def test_reads_go_on_while_the_database_waits_for_the_disk(models, server, mount):
    here = [models.blob(size, "stall, here") for size in (8 * MIB, 70001, 1)]
    coming = [models.blob(size, "stall, coming") for size in (24 * MIB, 3 * CHUNK, 4097)]
    # More than there are threads of any kind, each with something to be recorded before it can be answered.
    unknown = [(models.blob(CHUNK + number, "stall, new"), kind)
               for number in range(12) for kind in ("attested", "unattested")]
    mounted = mount(server, options=["nopassthrough"])
    for model in here:
        assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
        wait_until(lambda: cli.record_of(mounted.store, model)["state"] == "complete", "it is kept")
    for model in coming:
        assert reader.part(mounted.object(model.attested), 0, 1)["size"] == 1
    log = glob.glob(os.path.join(mounted.store, "meta", "*.log"))
    with Injection(mounted, "fdatasync", f"delay_enter={DELAY}s", log) as injection:
        pin = process.spawn([WEIGHTFS, "pin", "--store", mounted.store, here[0].attested], stdout=subprocess.DEVNULL)
        injection.wait_for_delay()
        waiting = [Reader("part", mounted.object(model.name(kind)), 0, 1) for model, kind in unknown]
        wait_until(lambda: len(server.ended()) > len(waiting), "they have asked")
        said = RandomReaders("here", 8, [(mounted.object(model.attested), model.path) for model in here],
                             count=100).end()
        said += RandomReaders("coming", 4, [(mounted.object(model.attested), model.path) for model in coming],
                              count=50).end()
        assert pin.poll() is None, "all this while the database waited"
        assert pin.wait(4 * DELAY) == 0
        for one in waiting:
            one.outcome()
    assert not errors(said)
    assert max(line["slowest"] for line in said) < DELAY
    for model, kind in unknown:
        assert reader.whole(mounted.object(model.name(kind)))["sha256"] == model.sha256
