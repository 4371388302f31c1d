# SPDX-License-Identifier: Apache-2.0
"""tests/tools/hostile.py, the source that misbehaves in a chosen manner."""

import json
import os
import subprocess
import urllib.request

from . import process
from .paths import PYTHON, TOOLS


class Hostile:
    def __init__(self, root, *options):
        self.child = process.spawn(
            [PYTHON, os.path.join(TOOLS, "hostile.py"), "--root", root, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline().split()
        assert line[:1] == ["port"], f"hostile.py said {line}"
        self.url = f"http://127.0.0.1:{line[1]}"

    def log(self):
        """Every request it got."""
        with urllib.request.urlopen(self.url + "/log", timeout=10) as reply:
            return [json.loads(line) for line in reply.read().decode().splitlines()]

    def post(self, what):
        request = urllib.request.Request(f"{self.url}/{what}", method="POST", data=b"")
        with urllib.request.urlopen(request, timeout=10) as reply:
            reply.read()

    def reset(self):
        self.post("reset")

    def open_gate(self):
        """Let all go on who wait in the manner "gated"."""
        self.post("open")

    def stop(self):
        self.child.stdin.close()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self.child.stdout.close()
        process.kill_group(self.child)
