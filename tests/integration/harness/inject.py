# SPDX-License-Identifier: Apache-2.0
"""System calls of a daemon that fail, or take long: strace, attached to it for a while."""

import glob
import os
import signal
import subprocess

from . import process
from .paths import SOON
from .poll import wait_until


class Injection:
    """HOW: "error=EIO:when=3+7" (each thread counts for itself), "delay_enter=2s". PATHS: only calls on these files."""

    def __init__(self, mounted, call, how, paths=()):
        self.pid = mounted.child.pid
        self.log = os.path.join(mounted.folder, "strace.log")
        command = ["strace", "-f", "-qq", "-o", self.log, "-p", str(self.pid), "-e", f"trace={call}",
                   "-e", f"inject={call}:{how}"]
        for path in paths:
            command += ["-P", path]
        self.child = process.spawn(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def tracers(self):
        """By whom each thread is traced."""
        found = set()
        for path in glob.glob(f"/proc/{self.pid}/task/*/status"):
            try:
                with open(path) as status:
                    found |= {int(line.split()[1]) for line in status if line.startswith("TracerPid")}
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def __enter__(self):
        wait_until(self.attached, "strace has attached")
        return self

    def attached(self):
        assert self.child.poll() is None, f"strace: {self.child.stderr.read()}"
        return self.tracers() == {self.child.pid}

    def __exit__(self, *_):
        """From here on all goes well again."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(SOON)
        except subprocess.TimeoutExpired:
            process.kill_group(self.child)
        self.child.stderr.close()

    def hits(self):
        """How many calls it was done to."""
        with open(self.log, errors="replace") as log:
            return sum("INJECTED" in line or "DELAYED" in line for line in log)

    def stopped(self):
        """The threads that strace holds at this moment."""
        found = set()
        for path in glob.glob(f"/proc/{self.pid}/task/*/wchan"):
            try:
                with open(path) as wchan:
                    if wchan.read() == "ptrace_stop":
                        found.add(path)
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def wait_for_delay(self, looks=20):
        """Until a call is being delayed: the same thread is held whenever one looks."""
        held, seen = set(), 0

        def look():
            nonlocal held, seen
            held = held & self.stopped() if seen else self.stopped()
            seen = seen + 1 if held else 0
            return seen == looks

        wait_until(look, "a call is delayed")
