#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A catalog of 1,000,000 objects: loaded by a daemon, what that takes of memory, look-ups, and `ls` of one publisher's names.

There is no peer. (With a smaller WEIGHTFS_BENCH_SIZE than 1G it has fewer objects, and the figures say nothing.)
"""

import os
import re
import subprocess
import sys
import time

from common import TOOLS, Mount, WrongBytes, main, run as command
from harness import config
from harness.catalogs import Catalog

LARGE = os.path.join(TOOLS, "catalog-large")
ORG = "org-500"


class Published:
    """The catalog, in a store as if it had been fetched, and daemons on that."""

    def __init__(self, bench, folder):
        self.bench, self.folder = bench, folder
        self.count = 1_000_000 if bench.size >= 1 << 30 else 20_000
        self.catalog = Catalog(os.path.join(folder, "publisher"), folder, name="large")
        self.store = os.path.join(folder, "store")
        command(LARGE, "make", self.count, self.catalog.path)
        self.catalog.keep_file(self.store, self.catalog.path, 42)
        self.number = 0

    def mount(self):
        """Not started."""
        self.number += 1
        folder = os.path.join(self.folder, f"m{self.number}")
        os.makedirs(folder)
        conf = config.write(os.path.join(folder, "weightfs.conf"), [self.catalog.section], None,
                            {"memory": self.bench.memory})
        return Mount(folder, conf, None, self.store, ["offline"])


def memory(mount, name):
    with open(f"/proc/{mount.child.pid}/status") as status:
        return int(re.search(rf"^{name}:\s+(\d+) kB", status.read(), re.M)[1]) / 1024


def loaded_and_listed(published):
    """Seconds until its names are there, MiB then and at most, milliseconds of the first ls and of another."""
    mount = published.mount()
    try:
        begin = time.monotonic()
        mount.launch()
        while not (mount.mounted() and os.path.isdir(mount.path("name", "large", ORG))):
            time.sleep(0.005)
        loaded = time.monotonic() - begin
        resident, peak = memory(mount, "VmRSS"), memory(mount, "VmHWM")
        taken = []
        for _ in range(2):
            begin = time.monotonic()
            listed = subprocess.run(["ls", mount.path("name", "large", ORG) + "/"], check=True, capture_output=True)
            taken.append((time.monotonic() - begin) * 1000)
        if not listed.stdout:
            raise WrongBytes(f"ls of {ORG}: nothing")
        after = memory(mount, "VmRSS")
        names = len(listed.stdout.splitlines())
        mount.stop()
        return loaded, max(resident, after), peak, *taken, names
    finally:
        mount.clean_up()


def found(published):
    """Microseconds of a look-up by SHA-256, by fs-verity digest, and by name; in a process of its own."""
    said = subprocess.run([LARGE, "measure", published.catalog.path], check=True, capture_output=True, text=True).stdout
    if len(re.findall(r", 0 not found$", said, re.M)) != 3:
        raise WrongBytes(said)
    return [float(re.search(rf"find by {what}: ([0-9.]+) us", said)[1]) for what in ("SHA-256", "fs-verity", "name")]


def run(bench):
    with bench.folder("catalog") as folder:
        published = Published(bench, folder)
        bench.settle()
        rounds = bench.each("loaded (s), memory, at most (MiB), ls, again (ms), names", lambda: loaded_and_listed(published))
        loaded, resident, peak, first, again, names = map(list, zip(*rounds))
        lookups = bench.each("look-ups (us)", lambda: found(published))
    by_sha256, by_fsverity, by_name = map(list, zip(*lookups))
    title = f"a catalog of {published.count:,} objects"
    bench.figure("catalog_load", f"{title}: daemon started until its names are there", "s", loaded, at_most=10)
    bench.figure("catalog_rss", f"{title}: daemon RSS", "MiB", resident, at_most=300, judge="max", peak=peak)
    bench.figure("catalog_find", f"{title}: look-up by digest", "µs",
                 [max(pair) for pair in zip(by_sha256, by_fsverity)], at_most=10, by_name=by_name)
    bench.figure("catalog_ls", f"{title}: first `ls` of `name/…/{ORG}`, {names[0]} names", "ms", first, at_most=100,
                 again=again)


if __name__ == "__main__":
    sys.exit(main("catalog", description=__doc__))
