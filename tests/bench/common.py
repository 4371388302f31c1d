# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: a place that is gone at the end, paired rounds, and figures.

A figure is one JSON line. Its values are of paired rounds: ours and the peer measured right after each
other, in alternating order, so that what else the machine does meets both; of each pair the ratio, of
the ratios the median. A first pair is never kept. What is slow is reported; what is wrong raises.
"""

import argparse
import contextlib
import importlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "integration"))

from harness import config, models, process  # noqa: E402
from harness.mount import Mount, detach, mounts_below  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.paths import MIB, SOON, WEIGHTFS, parse_size  # noqa: E402

TOOLS = os.path.join(os.path.dirname(WEIGHTFS), "tests", "tools")
READER = os.path.join(TOOLS, "bench-reader")
SHAPER = os.path.join(TOOLS, "shaper")

# Longer than any reading takes that is worth waiting for.
READ_TIMEOUT = 900

# Every caller may open everything, as without a policy; and the origins a and b are there for root.
POLICY = """
caller any is local
allow local to any with list
allow a to any
allow b to any
"""


class WrongBytes(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def reader(*args, stdin=None):
    """What bench-reader says. It is ended with all others if this is interrupted."""
    child = process.spawn([READER, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True)
    out, _ = child.communicate(stdin, READ_TIMEOUT)
    if child.returncode != 0:
        raise WrongBytes(f"bench-reader {' '.join(map(str, args))}: exit {child.returncode}")
    return json.loads(out)


class Gate:
    """Readers that begin together."""

    def __init__(self):
        self.readers = []

    def add(self, *args):
        self.readers.append((args, process.spawn(
            [READER, "-g", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)))

    def open(self):
        for _, child in self.readers:
            child.stdin.close()
            child.stdin = None
        said = []
        for args, child in self.readers:
            out, _ = child.communicate(timeout=READ_TIMEOUT)
            if child.returncode != 0:
                raise WrongBytes(f"bench-reader {args}: exit {child.returncode}")
            said.append(json.loads(out))
        return said


def require_same(said, expected, what):
    """Two outputs of the reader over the same parts of what must be the same file."""
    for key in ("bytes", "sum"):
        if said[key] != expected[key]:
            raise WrongBytes(f"{what}: {key} {said[key]}, not {expected[key]}")


def run(*args, **kwargs):
    """A command that must succeed. The caller's time includes starting it."""
    return subprocess.run(list(map(str, args)), check=True, stdin=subprocess.DEVNULL, **kwargs)


def meminfo(name):
    """Bytes."""
    with open("/proc/meminfo") as file:
        return int(re.search(rf"^{name}:\s+(\d+) kB", file.read(), re.M)[1]) * 1024


def drop(path):
    """The file's pages leave the page cache; fails if some stay."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    said = reader("cached", path)
    if said["cached"] > said["bytes"] / 100 + MIB:
        raise RuntimeError(f"{path}: {said['cached']} bytes stay in the page cache")


class Bench:
    """One run. SIZE: of the object, bytes. MEMORY: [fetch] memory, bytes."""

    def __init__(self, size, rounds, memory, keep=None):
        self.size, self.rounds, self.memory = size, rounds, memory
        self.keep = keep  # a file that gets the lines, too
        self.peaks = []
        self.missed = []
        self.topic = None
        self.round = None  # -1 for the warm-up

    # ---- coming and going

    def __enter__(self):
        if os.geteuid() != 0:
            sys.exit("the benchmarks mount and drop caches: run them as root")
        for program in (WEIGHTFS, READER, SHAPER):
            if not os.access(program, os.X_OK):
                sys.exit(f"{program} is not there: `make bench`, or set WEIGHTFS")
        os.umask(0o022)
        place = os.environ.get("TMPDIR", "/var/tmp")
        # The object, eight smaller ones, what is being fetched, and some air.
        needed = 4 * self.size + (512 << 20)
        free = shutil.disk_usage(place).free
        if free < needed:
            sys.exit(f"{place} has {free >> 20} MiB free; {needed >> 20} are needed (TMPDIR)")
        if meminfo("MemAvailable") < 3 * self.size:
            say("memory is short of three times the object: what should be cached may not be")
        # SIGINT as well: it is ignored by what a shell starts in the background.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _: sys.exit(128 + received))
        self.work = os.path.realpath(tempfile.mkdtemp(prefix="weightfs-bench-", dir=place))
        try:
            self.models = models.Models(os.path.join(self.work, "models"))
            # rclone finds files in listings.
            self.server = Nginx(os.path.join(self.work, "nginx"), self.models.root,
                                extra="autoindex on;").start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        children = process.alive()
        process.kill_all()
        for point in reversed(mounts_below(self.work)):
            detach(point)
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(SOON)
        shutil.rmtree(self.work, ignore_errors=True)

    # ---- things to measure on

    def model(self, size=None, seed="bench"):
        """Made once. `whole`: what reading all of it must say."""
        model = self.models.make(size or self.size, seed)
        if not hasattr(model, "whole"):
            model.whole = reader("read", model.path)
        return model

    @contextlib.contextmanager
    def folder(self, name):
        """Gone afterwards, and the disk idle again: nobody pays for another's writing back."""
        path = tempfile.mkdtemp(prefix=name + "-", dir=self.work)
        os.chmod(path, 0o755)
        try:
            yield path
        finally:
            for point in reversed(mounts_below(path)):
                detach(point)
            shutil.rmtree(path, ignore_errors=True)
            run("sync", "-f", self.work)

    def settle(self, *cached):
        """Before a cold measurement: CACHED files are in the page cache, nothing is being written,
        and free memory is really the machine's: a virtual one gets it from its host at the first
        touch, for several times the price, and gives it back when it was free for a while.
        """
        run("sync", "-f", self.work)
        for path in cached:
            reader("read", path)
        reader("touch", int(min(2.5 * self.size, meminfo("MemAvailable") / 2)))

    @contextlib.contextmanager
    def mounted(self, source=None, store=None, options=()):
        """A daemon that fetches from SOURCE (a URL; the server). Fails if it does not end well."""
        with self.folder("mount") as folder:
            conf = config.write(os.path.join(folder, "weightfs.conf"),
                                config.sources_of(source or self.server), None,
                                {"memory": self.memory})
            policy = os.path.join(folder, "policy")
            with open(policy, "w") as file:
                file.write(POLICY)
            mount = Mount(folder, conf, policy, store, options)
            try:
                mount.start()
                yield mount
                self.peaks.append((self.topic, mount.memory_peak()))
                mount.stop()
            finally:
                mount.clean_up()

    def require_kept(self, mount, model, name):
        """The bytes that stay are the right ones. Takes no part in any time."""
        reader("same", mount.object(name), model.path)

    def requests(self):
        """Those of the server since its mark, when no more came for a while: prefetching ends by itself."""
        seen = None
        while True:
            found = self.server.requests(probes=True)
            if len(found) == seen:
                return found
            seen = len(found)
            time.sleep(0.3)

    # ---- measuring

    def pairs(self, what, ours, peer):
        """[(ours(), peer())], one for each round."""
        kept = []
        for number in range(-1, self.rounds):
            self.round = number
            if number % 2 == 0:
                a = ours()
                b = peer()
            else:
                b = peer()
                a = ours()
            if number >= 0:
                kept.append((a, b))
            say(f"  {what}, {f'round {number + 1}' if number >= 0 else 'warm-up'}: "
                f"{a:.4g} and {b:.4g}")
        return kept

    def each(self, what, ours):
        """[ours()], one for each round."""
        kept = []
        for number in range(-1, self.rounds):
            self.round = number
            a = ours()
            if number >= 0:
                kept.append(a)
            say(f"  {what}, {f'round {number + 1}' if number >= 0 else 'warm-up'}: {a}")
        return kept

    def figure(self, name, title, unit, values, at_least=None, at_most=None, judge="median", **more):
        """Prints a figure. JUDGE: which of its numbers the bound is about."""
        line = {"figure": name, "title": title, "unit": unit,
                "median": statistics.median(values), "min": min(values), "max": max(values),
                "rounds": len(values), "values": values, "size": self.size}
        if at_least is not None or at_most is not None:
            line["bound"] = at_most if at_least is None else at_least
            line["must_be"] = ">=" if at_most is None else "<="
            line["judged_by"] = judge
            line["ok"] = line[judge] >= at_least if at_most is None else line[judge] <= at_most
            if not line["ok"]:
                self.missed.append(name)
        line.update(more)
        self.emit({key: rounded(value) for key, value in line.items()})

    def emit(self, line):
        text = json.dumps(line)
        print(text, flush=True)
        if self.keep:
            self.keep.write(text + "\n")
            self.keep.flush()

    def emit_machine(self):
        """What the figures were measured with: not a figure."""
        with open("/proc/cpuinfo") as file:
            cpu = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
        version = subprocess.run([WEIGHTFS, "--version"], capture_output=True, text=True).stdout
        self.emit({"machine": {
            "cpus": os.cpu_count(), "cpu": cpu[1] if cpu else "", "kernel": platform.release(),
            "memory": meminfo("MemTotal"), "load": os.getloadavg(), "weightfs": version.strip(),
            "size": self.size, "rounds": self.rounds, "fetch_memory": self.memory}})

    def emit_peaks(self):
        """Of all daemons so far, the highest one of each topic."""
        highest = {}
        for topic, peak in self.peaks:
            highest[topic] = max(peak, highest.get(topic, 0))
        if highest:
            self.figure("peak_rss", "daemon RSS at any time", "MiB",
                        [peak / MIB for peak in highest.values()], judge="max",
                        at_most=64 + self.memory / MIB, topics=list(highest))


def rounded(value):
    """Enough digits to see a difference."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return value


def ratios(pairs):
    return [a / b for a, b in pairs]


def arguments(names, description):
    environment = os.environ.get
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--size", type=parse_size, help="of the object (WEIGHTFS_BENCH_SIZE, 2G)",
                        default=environment("WEIGHTFS_BENCH_SIZE") or "2G")
    parser.add_argument("--rounds", type=int, help="(WEIGHTFS_BENCH_ROUNDS, 5)",
                        default=environment("WEIGHTFS_BENCH_ROUNDS") or "5")
    parser.add_argument("--memory", type=parse_size, help="[fetch] memory (64M)", default="64M")
    parser.add_argument("--json", metavar="FILE", help="keep the lines there, too")
    parser.set_defaults(topics=[])
    if len(names) > 1:
        parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"some of: {' '.join(names)}")
    args = parser.parse_args()
    unknown = [name for name in args.topics if name not in names]
    if unknown:
        parser.error(f"not a topic: {' '.join(unknown)}")
    if args.rounds < 1 or args.size < 16 * MIB:
        parser.error("a round and 16M at least")
    return args


def main(*names, description=None):
    """Measures the topics NAMES, modules with a run(bench), or those that the command line picks."""
    args = arguments(names, description)
    failed = []
    with contextlib.ExitStack() as stack:
        keep = stack.enter_context(open(args.json, "w")) if args.json else None
        bench = stack.enter_context(Bench(args.size, args.rounds, args.memory, keep))
        bench.emit_machine()
        for name in names:
            if args.topics and name not in args.topics:
                continue
            module = importlib.import_module(name)
            bench.topic = name
            say(f"{name}: {module.__doc__.splitlines()[0]}")
            try:
                module.run(bench)
            except Exception as error:  # the other topics are still worth knowing
                failed.append(name)
                bench.emit({"failed": name, "error": f"{type(error).__name__}: {error}"})
        bench.emit_peaks()
    if bench.missed:
        say(f"not reached: {' '.join(bench.missed)}")
    if failed:
        say(f"FAILED: {' '.join(failed)}")
    return 1 if failed else 0
