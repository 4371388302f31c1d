#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Several processes read at random, and compare each byte with what it must be.

    random_main.py SEED READERS COUNT PATH TRUTH [PATH TRUTH…]

Each reads COUNT times (0: until its end is asked for) from one of the PATHs, at any place, of any length, now through a
descriptor that it has, now through a new one, and compares with TRUTH, a file elsewhere. They end when all is read,
when stdin is closed, or when the mount is gone; what they were told instead of bytes is counted. A line each:
{"reads": N, "errors": {"EIO": N}, "slowest": seconds}. A wrong byte is a line {"wrong": …}, and status 1.
"""

import errno
import json
import os
import random
import signal
import sys
import time

GONE = (errno.ENOTCONN, errno.ECONNABORTED)
KIB = 1 << 10


asked_to_end = False


def end(*_):
    global asked_to_end
    asked_to_end = True


class Reader:
    def __init__(self, seed, files):
        self.dice, self.files, self.fds = random.Random(seed), files, {}
        self.reads, self.errors, self.slowest = 0, {}, 0

    def descriptor(self, path):
        if path in self.fds and self.dice.random() < 0.2:
            os.close(self.fds.pop(path))
        if path not in self.fds:
            self.fds[path] = os.open(path, os.O_RDONLY)
        return self.fds[path]

    def one(self):
        """Reads once; what is wrong, if something is."""
        path, truth = self.dice.choice(self.files)
        size = os.fstat(truth).st_size
        length = self.dice.randint(1, self.dice.choice((100, 8 * KIB, 200 * KIB, 1200 * KIB)))
        offset = self.dice.randrange(size)
        data, expected = os.pread(self.descriptor(path), length, offset), os.pread(truth, length, offset)
        self.reads += 1
        if not data or data != expected[:len(data)]:
            return {"wrong": path, "offset": offset, "length": length, "got": len(data)}
        if len(data) < len(expected):  # so the rest could not be had
            self.count("short")
        return None

    def count(self, error):
        self.errors[error] = self.errors.get(error, 0) + 1

    def run(self, count):
        while not asked_to_end and (count == 0 or self.reads < count):
            begin = time.monotonic()
            try:
                wrong = self.one()
            except OSError as error:
                if error.errno in GONE:
                    break
                self.count(errno.errorcode[error.errno])
                if count:
                    self.reads += 1
                wrong = None
            self.slowest = max(self.slowest, time.monotonic() - begin)
            if wrong:
                return wrong
        return {"reads": self.reads, "errors": self.errors, "slowest": self.slowest}


def main(seed, readers, count, *files):
    truths = [os.open(path, os.O_RDONLY) for path in files[1::2]]
    children = []
    signal.signal(signal.SIGTERM, end)
    for number in range(int(readers)):
        pid = os.fork()
        if pid == 0:
            outcome = Reader(f"{seed}/{number}", list(zip(files[::2], truths))).run(int(count))
            os.write(1, (json.dumps(outcome) + "\n").encode())
            os._exit("wrong" in outcome)
        children.append(pid)
    if int(count) == 0:
        sys.stdin.read()
        for pid in children:
            os.kill(pid, signal.SIGTERM)
    return int(any([os.waitpid(pid, 0)[1] for pid in children]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
