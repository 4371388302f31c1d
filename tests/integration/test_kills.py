# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon among many readers, again and again: no byte is ever wrong, nothing recorded is fetched again."""

import random
import shutil
import time

from harness import cli, process, reader
from harness.crashing import RandomReaders, errors, reads, recorded, refetched
from harness.paths import CHUNK, LONG, MIB

ROUNDS = 300 if LONG else 8
READERS = 8


def objects(models):
    """(model, kind): several chunks, one, less than one, one byte; each known in a way."""
    return [(models.blob(24 * MIB + 4097, "kill"), "attested"),
            (models.blob(9 * MIB, "kill"), "attested"),
            (models.blob(6 * MIB + 1, "kill"), "unattested"),
            (models.blob(3 * CHUNK, "kill"), "unattested"),
            (models.blob(70001, "kill"), "attested"),
            (models.blob(4097, "kill"), "unattested"),
            (models.blob(1, "kill"), "attested")]


def test_killed_among_eight_readers(models, server, link, mount):
    made, dice = objects(models), random.Random(8)
    mounted = mount(link(server, 6 * MIB), fetch={"connections": 4})
    files = [(mounted.object(model.name(kind)), model.path) for model, kind in made]
    before, kept, done, generations = {}, 0, 0, 0
    for round_number in range(ROUNDS):
        server.mark()
        if round_number:
            mounted.start()
        readers = RandomReaders(round_number, READERS, files)
        time.sleep(dice.uniform(0, 1))  # the moment of the blow
        process.kill_group(mounted.child)
        said = readers.end()  # of a mount that is dead, but still there
        mounted.crash()
        done += reads(said)
        assert errors(said) <= {"short"}, f"round {round_number}: {said}"
        again = refetched(server.requests(), before, [model for model, _ in made])
        assert not again, f"round {round_number}: {again}"
        before = recorded(mounted.store)
        kept += any(record.chunks for record in before.values())
        if len(before) >= len(made) and all(record.complete for record in before.values()):
            generations += 1
            check_all(mounted, made, server)
            shutil.rmtree(mounted.store)
            before = {}
    print(f"{ROUNDS} kills: {done} reads compared, {kept} with chunks of partial objects recorded, "
          f"{generations} times all was complete")
    assert kept > 0 and done > 0, "no round was killed in the middle: the test shows nothing"
    mounted.start()
    check_all(mounted, made, None)


def check_all(mounted, made, server):
    """Each object as a whole. SERVER: there is nothing to be asked of it."""
    if server:
        server.mark()
        mounted.start()
    for model, kind in made:
        assert reader.whole(mounted.object(model.name(kind))) == \
            {"sha256": model.sha256, "size": model.size}
    assert not server or server.requests() == []
    mounted.stop()
    cli.ok("verify", "--store", mounted.store)
