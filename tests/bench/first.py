#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The first 4 KiB, in the middle of a cold attested object: what the server is asked for, and how long.

By its fs-verity name an object is attested; the first lookup fetches the front of its tree.
"""

import os
import sys

from common import MIB, main, reader, require_same

SMALL = 4096


def run(bench):
    model = bench.model()
    path = f"{model.size // 2 // SMALL * SMALL} {SMALL}\n"  # a page, so of one chunk
    expected = reader("ranges", model.path, "pread", 1, stdin=path)

    def once(front_known):
        bench.settle(model.path)
        with bench.mounted() as mount:
            name = mount.object(model.attested)
            if front_known:
                os.stat(name)
                bench.requests()
            bench.server.mark()
            said = reader("ranges", name, "pread", 1, stdin=path)
            require_same(said, expected, "the first 4 KiB")
            requests = bench.requests()
            beyond = sum(request["body"] for request in requests)
            if not front_known:
                beyond -= model.front_size
            return len(requests), beyond / MIB, said["seconds"] * 1000

    for name, title, known, bound in (
            ("first", "first 4 KiB of a cold attested object", False, 2),
            ("first_known", "the same, the front of its tree known", True, 1)):
        rounds = bench.each(f"{name}: requests, MiB beyond the front, ms", lambda: once(known))
        requests, beyond, times = map(list, zip(*rounds))
        bench.figure(f"{name}_requests", f"{title}: requests", "requests", requests, at_most=bound,
                     judge="max")
        bench.figure(f"{name}_bytes", f"{title}: bytes beyond the front", "MiB", beyond, at_most=1,
                     judge="max", front_bytes=model.front_size)
        bench.figure(f"{name}_time", f"{title}: time, loopback", "ms", times)


if __name__ == "__main__":
    sys.exit(main("first", description=__doc__))
