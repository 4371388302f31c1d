# SPDX-License-Identifier: Apache-2.0
"""tests/tools/shaper, a slow link to a server: a rate for each connection, and a delay."""

import os
import subprocess

from . import process
from .paths import WEIGHTFS

SHAPER = os.path.join(os.path.dirname(WEIGHTFS), "tests", "tools", "shaper")


class Link:
    """To SERVER; RATE: bytes a second for each connection; DELAY: milliseconds one way."""

    def __init__(self, server, rate, delay=2):
        self.child = process.spawn([SHAPER, str(server.port), str(rate), str(delay)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline().split()
        assert line[:1] == ["port"], f"shaper said {line}"
        self.url = f"http://127.0.0.1:{line[1]}"

    def stop(self):
        self.child.communicate(timeout=30)
