#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A complete object through a fresh mount, against the same file of the store read natively.

The file is in the page cache: what is measured is the way through the mount, not the disk.
"""

import glob
import os
import random
import subprocess
import sys

from common import (MIB, WEIGHTFS, drop, main, meminfo, reader, ratios, require_same)

SMALL = 4096
OPENS = 2000


class Warm:
    """A store with the complete object, and the file in which it lies."""

    def __init__(self, bench, folder):
        self.bench, self.model = bench, bench.model()
        self.store = os.path.join(folder, "store")
        subprocess.run([WEIGHTFS, "add", "--store", self.store, self.model.path], check=True,
                       stdout=subprocess.DEVNULL)
        self.file, = [path for path in glob.glob(os.path.join(self.store, "objects", "*", "*"))
                      if os.stat(path).st_size == self.model.size]
        self.name = self.model.sha256
        # Pages in random places, the same ones for everybody.
        blocks = self.model.size // SMALL
        places = random.Random("small").choices(range(blocks), k=min(131072, blocks))
        self.small = "".join(f"{place * SMALL} {SMALL}\n" for place in places)

    def mounted(self):
        return self.bench.mounted(store=self.store)

    def compare(self, what, *args, stdin=None):
        """Seconds of the native reading and of the mount's, in pairs: a ratio of throughputs."""
        command, *rest = args

        def native():
            require_same(reader("read", self.file), self.model.whole, self.file)
            said = reader(command, self.file, *rest, stdin=stdin)
            self.expected = said
            return said["seconds"]

        def ours():
            require_same(reader("read", self.file), self.model.whole, self.file)
            with self.mounted() as mount:
                said = reader(command, mount.object(self.name), *rest, stdin=stdin)
                if command == "read":
                    require_same(said, self.model.whole, "through the mount")
                else:
                    require_same(said, reader(command, self.file, *rest, stdin=stdin), what)
                return said["seconds"]

        return self.bench.pairs(what, native, ours)


def speed(bench, warm):
    for name, title, at_least, args, stdin in (
            ("warm_read", "first sequential read / native", 0.95, ["read"], None),
            ("warm_scan", "first mmap scan / native", 0.90, ["scan"], None),
            ("warm_small", "first 4 KiB random preads / native", 0.90, ["ranges", "pread", 1],
             warm.small)):
        command, *rest = args
        pairs = warm.compare(name, command, *rest, stdin=stdin)
        bench.figure(name, f"complete, in the page cache: {title}", "ratio", ratios(pairs),
                     at_least=at_least, native_s=[a for a, _ in pairs], ours_s=[b for _, b in pairs])


def page_cache(bench, warm):
    """What a read adds to the page cache: by what the kernel counts in all, and file by file.

    The larger one counts. The former sees pages wherever they are, but also what others on the machine
    cache or free in the meantime; the latter is exact, but sees only the files that we know.
    """
    def once():
        drop(warm.file)
        with warm.mounted() as mount:
            views = [mount.path("origin", "0", origin, "hash", warm.name) for origin in "ab"]
            files = [warm.file, *views]
            counted = lambda: sum(reader("cached", path)["cached"] for path in files) / warm.model.size
            before = meminfo("Cached")
            grown = []
            for view in views:
                require_same(reader("read", view), warm.model.whole, view)
                grown.append((meminfo("Cached") - before) / warm.model.size)
                grown.append(counted())
            return [round(value, 4) for value in grown]

    rounds = bench.each("page cache / file, by meminfo and cachestat, one view and two", once)
    columns = list(map(list, zip(*rounds)))
    title = "page cache grown by a first read / file size"
    for name, title, (meminfo_says, cachestat_says) in (
            ("page_cache", title, columns[:2]),
            ("page_cache_two", f"{title}, a second origin reading it, too", columns[2:])):
        bench.figure(name, title, "ratio", list(map(max, meminfo_says, cachestat_says)), at_most=1.1,
                     meminfo=meminfo_says, cachestat=cachestat_says)


def opening(bench, warm):
    for name, title, how, parts in (
            ("open_path", "by path", "path", ["hash"]),
            ("open_view", "in a view's directory that is open", "at",
             ["origin", "0", "local", "hash"])):
        def ours():
            reader("read", warm.file)
            with warm.mounted() as mount:
                return reader("open", mount.path(*parts, warm.name), OPENS, how)["median_us"]

        def native():
            return reader("open", warm.file, OPENS, how)["median_us"]

        pairs = bench.pairs(name, ours, native)
        bench.figure(name, f"open + first byte of a complete object, {title}: more than native", "us",
                     [a - b for a, b in pairs], at_most=150, ours_us=[a for a, _ in pairs],
                     native_us=[b for _, b in pairs])


def run(bench):
    with bench.folder("warm") as folder:
        warm = Warm(bench, folder)
        speed(bench, warm)
        page_cache(bench, warm)
        opening(bench, warm)


if __name__ == "__main__":
    sys.exit(main("warm", description=__doc__))
