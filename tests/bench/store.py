#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A store of 100,000 small objects: mounted after kill -9, listed, and what it costs that one goes to make room.

What goes is paid for by who brings another one in, so files are added in pairs: to a store that has room, and to one
that is full. (With a smaller WEIGHTFS_BENCH_SIZE than 1G there are fewer objects, and the figures say nothing.)
"""

import os
import random
import statistics
import subprocess
import sys
import time

from common import MIB, SOON, TOOLS, WEIGHTFS, Mount, WrongBytes, main, process, run as command, say
from harness import config

FILL = os.path.join(TOOLS, "store-fill")
LENGTH = 4096
ADDED = 20  # files, each round


class Full:
    """The store, and daemons on it."""

    def __init__(self, bench, folder):
        self.bench, self.folder = bench, folder
        self.store = os.path.join(folder, "store")
        self.count = 100_000 if bench.size >= 1 << 30 else 2_000
        self.used = int(subprocess.run([FILL, self.store, str(self.count), str(LENGTH)], check=True,
                                       capture_output=True, text=True).stdout)
        self.added = 0

    def mount(self, name, size):
        """Not started."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        conf = config.write(os.path.join(folder, "weightfs.conf"), [], {"size": size, "keep-free": 0},
                            {"memory": self.bench.memory})
        return Mount(folder, conf, None, self.store)

    def start(self, mount):
        """Seconds until it answers."""
        begin = time.monotonic()
        mount.launch()
        while not mount.mounted():
            time.sleep(0.0005)
        os.stat(mount.path("hash"))
        return time.monotonic() - begin

    def new_file(self):
        self.added += 1
        path = os.path.join(self.folder, "new")
        with open(path, "wb") as file:
            file.write(random.Random(f"{self.added}").randbytes(LENGTH))
        return path


def rss(mount):
    with open(f"/proc/{mount.child.pid}/status") as status:
        return max(int(line.split()[1]) / 1024 for line in status if line.startswith(("VmRSS", "VmHWM")))


def killed_and_listed(full):
    """Seconds to mount again, seconds of ls, MiB afterwards."""
    mount = full.mount("killed", full.used + 64 * MIB)
    try:
        full.start(mount)
        names = os.listdir(mount.path("hash"))
        for name in random.Random(full.added).sample(names, min(500, len(names))):
            with open(mount.object(name), "rb") as file:
                if len(file.read()) != LENGTH:
                    raise WrongBytes(name)
        mount.crash()
        mounted = full.start(mount)
        begin = time.monotonic()
        listed = subprocess.run(["ls", mount.path("hash") + "/"], check=True, capture_output=True).stdout
        seconds = time.monotonic() - begin
        if len(listed.splitlines()) != len(names):
            raise WrongBytes(f"ls: {len(listed.splitlines())} names, not {len(names)}")
        memory = rss(mount)
        mount.stop()
        return mounted, seconds, memory
    finally:
        mount.clean_up()


def add_some(full, name, size, makes_room):
    """The median of the milliseconds that adding a file takes."""
    mount = full.mount(name, size)
    try:
        full.start(mount)
        taken = []
        for _ in range(ADDED):
            path = full.new_file()
            begin = time.monotonic()
            command(WEIGHTFS, "add", "--store", full.store, path, stdout=subprocess.DEVNULL)
            taken.append((time.monotonic() - begin) * 1000)
        gone = mount.log().count("made room")
        mount.stop()
    finally:
        mount.clean_up()
    if gone != (ADDED if makes_room else 0):
        raise RuntimeError(f"{gone} objects made room for {ADDED}")
    return statistics.median(taken)


def evict(full):
    """What a file costs more in a full store."""
    os.makedirs(os.path.join(full.folder, "logs"), exist_ok=True)
    roomy = add_some(full, f"roomy{full.added}", full.used + 2 * ADDED * LENGTH, False)
    full.used += ADDED * LENGTH
    tight = add_some(full, f"tight{full.added}", full.used, True)
    return tight, roomy


def run(bench):
    with bench.folder("full") as folder:
        full = Full(bench, folder)
        bench.settle()
        rounds = bench.each("mounted, listed (s), memory (MiB)", lambda: killed_and_listed(full))
        mounted, listed, memory = map(list, zip(*rounds))
        pairs = bench.each("a file added to the full store, to one with room (ms)", lambda: evict(full))
    title = f"{full.count:,} objects"
    bench.figure("store_mount", f"{title}: mount after kill -9", "s", mounted, at_most=1, judge="max")
    bench.figure("store_list", f"{title}: `ls` of `hash/`", "s", listed, at_most=2, judge="max")
    bench.figure("store_rss", f"{title}: daemon RSS", "MiB", memory, at_most=128, judge="max")
    bench.figure("store_evict", f"{title}: one goes to make room for another", "ms",
                 [max(0.0, tight - roomy) for tight, roomy in pairs], at_most=50, judge="max",
                 full_ms=[tight for tight, _ in pairs], room_ms=[roomy for _, roomy in pairs])


if __name__ == "__main__":
    sys.exit(main("store", description=__doc__))
