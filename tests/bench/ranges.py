#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Eight threads that read random 4 MiB of a cold object; against the same ranges by parallel curl.

The ranges may overlap, and lie at any byte. Bytes that are asked for twice count once.
"""

import os
import random
import sys
import time

from common import MIB, READ_TIMEOUT, WrongBytes, main, process, reader, require_same

THREADS = 8
RANGE = 4 * MIB
READS = 30  # of each thread


class Scattered:
    """A round's ranges: the same ones for both sides, other ones in each round."""

    def __init__(self, bench):
        self.model = model = bench.model()
        count = THREADS * max(1, min(READS, model.size * 15 // 32 // (THREADS * RANGE)))
        chance = random.Random(bench.round)
        self.offsets = [chance.randrange(model.size - RANGE) for _ in range(count)]
        self.text = "".join(f"{offset} {RANGE}\n" for offset in self.offsets)
        self.bytes = count * RANGE
        self.distinct, end = 0, 0
        for offset in sorted(self.offsets):
            self.distinct += offset + RANGE - max(end, offset)
            end = offset + RANGE


def ours(bench, how):
    """Throughput, fetched / asked, slowest / median."""
    scattered = Scattered(bench)
    model = scattered.model
    bench.settle(model.path)
    expected = reader("ranges", model.path, "pread", 1, stdin=scattered.text)
    with bench.mounted() as mount:
        bench.server.mark()
        said = reader("ranges", mount.object(model.attested), how, THREADS, stdin=scattered.text)
        require_same(said, expected, how)
        fetched = sum(request["body"] for request in bench.requests())
        # Once more, now that they are here, every byte of them.
        compare(mount.object(model.attested), scattered)
    return (said["bytes"] / said["seconds"] / MIB, fetched / scattered.distinct,
            said["slowest_us"] / said["median_us"])


def compare(path, scattered):
    with open(path, "rb", 0) as file, open(scattered.model.path, "rb", 0) as original:
        for offset in scattered.offsets:
            if os.pread(file.fileno(), RANGE, offset) != os.pread(original.fileno(), RANGE, offset):
                raise WrongBytes(f"{path}: {RANGE} bytes at {offset}")


def by_curl(bench):
    """Throughput of eight curls, each with a connection and its share of the ranges."""
    scattered = Scattered(bench)
    model = scattered.model
    bench.settle(model.path)
    with bench.folder("curl") as folder:
        lists = []
        for thread in range(THREADS):
            parts = []
            for index in range(thread, len(scattered.offsets), THREADS):
                offset = scattered.offsets[index]
                parts.append(f'url = "{bench.server.url}/s/{model.sha256}"\n'
                             f'range = "{offset}-{offset + RANGE - 1}"\n'
                             f'output = "{folder}/{index}"\n')
            lists.append(os.path.join(folder, f"list-{thread}"))
            with open(lists[-1], "w") as file:
                # A transfer a section; these options are not inherited by the next.
                file.write("next\n".join(f"silent\nshow-error\nfail\n{part}" for part in parts))
        begin = time.monotonic()
        children = [process.spawn(["curl", "-q", "-K", path]) for path in lists]
        for child in children:
            if child.wait(READ_TIMEOUT) != 0:
                raise RuntimeError(f"curl: exit {child.returncode}")
        seconds = time.monotonic() - begin
        for index, offset in enumerate(scattered.offsets):
            with open(os.path.join(folder, str(index)), "rb") as file:
                if file.read() != model.read(offset, RANGE):
                    raise WrongBytes(f"curl: {RANGE} bytes at {offset}")
    return scattered.bytes / seconds / MIB


def run(bench):
    for how in ("pread", "mmap"):
        kept = []

        def mine():
            kept.append(ours(bench, how))
            return kept[-1][0]

        pairs = bench.pairs(f"random 4 MiB by {how}: ours and curl, MiB/s", mine,
                            lambda: by_curl(bench))
        _, fetched, slowest = map(list, zip(*kept[1:]))  # without the warm-up
        title = f"{THREADS} threads, random 4 MiB, cold, {how}"
        bench.figure(f"random_{how}_fetched", f"{title}: bytes fetched / asked", "ratio", fetched,
                     at_most=1.3)
        bench.figure(f"random_{how}_speed", f"{title}: throughput / parallel curl's", "ratio",
                     [a / b for a, b in pairs], at_least=0.7, ours_mib_s=[a for a, _ in pairs],
                     curl_mib_s=[b for _, b in pairs])
        bench.figure(f"random_{how}_slowest", f"{title}: slowest read / median", "ratio", slowest,
                     at_most=10)


if __name__ == "__main__":
    sys.exit(main("ranges", description=__doc__))
