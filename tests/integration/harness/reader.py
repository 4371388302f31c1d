# SPDX-License-Identifier: Apache-2.0
"""Starts reader_main.py and understands what it says."""

import json
import os
import subprocess
import tempfile

from . import process
from .poll import wait_until

MAIN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "reader_main.py")

MAPPING_MAIN = os.path.join(os.path.dirname(MAIN), "mapping_main.py")

READ_TIMEOUT = 240


class Reader:
    """A reader at work. Its own errors go to the test's output."""

    def __init__(self, *args, uid=None, main=MAIN, stdin=subprocess.DEVNULL):
        self.output = tempfile.TemporaryFile("w+")
        self.args = args
        self.child = process.spawn(process.as_user(uid, process.python(main, *args)),
                                   stdin=stdin, stdout=self.output)

    def lines(self):
        self.output.seek(0)
        return [json.loads(line) for line in self.output if line.endswith("\n")]

    @property
    def progress(self):
        """Bytes read so far, to about 1 MiB."""
        done = [line["progress"] for line in self.lines() if "progress" in line]
        return done[-1] if done else 0

    def running(self):
        return self.child.poll() is None

    def wait_for_progress(self, size):
        wait_until(lambda: self.progress >= size or not self.running(),
                   f"{self.args} has read {size} bytes")
        assert self.running(), f"{self.args} ended early: {self.lines()[-1:]}"

    def outcome(self, timeout=READ_TIMEOUT):
        """The last line. A reader that died of a signal has none."""
        try:
            self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill_group(self.child)
            raise AssertionError(f"{self.args}: still reading after {timeout} s") from None
        assert self.child.returncode == 0, f"{self.args}: exit {self.child.returncode}"
        return self.lines()[-1]

    def kill(self):
        process.kill_group(self.child)


class Mapping(Reader):
    """mapping_main.py at work: PATH, HOW, LENGTH, an OFFSET for each piece; THREADS at a time."""

    def __init__(self, path, how, length, *offsets, threads=None):
        super().__init__(path, how, length, threads or len(offsets), *offsets, main=MAPPING_MAIN)


def whole(path, way="read", uid=None, timeout=READ_TIMEOUT):
    """Read all of PATH: {"sha256", "size"} or {"errno", "at", …}."""
    return Reader("whole", path, way, uid=uid).outcome(timeout)


def part(path, offset, length, uid=None):
    return Reader("part", path, offset, length, uid=uid).outcome()


def together(path, offset, count):
    return Reader("together", path, offset, count).outcome()


def calls(path, uid=None):
    return Reader("calls", path, uid=uid).outcome()


def listing(path, uid=None):
    return Reader("list", path, uid=uid).outcome()["names"]


def readlink(path, uid=None):
    return Reader("readlink", path, uid=uid).outcome()["target"]
