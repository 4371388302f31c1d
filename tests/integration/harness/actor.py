# SPDX-License-Identifier: Apache-2.0
"""Starts actor_main.py: a process that lives and does as it is told, whoever it is by then."""

import json
import os
import subprocess

from . import process
from .poll import wait_until

MAIN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "actor_main.py")


class Actor:
    """BEFORE: a command that starts it (unshare, nsenter), before it becomes UID."""

    def __init__(self, uid=None, before=(), pass_fds=()):
        args = list(before) + process.as_user(uid, process.python(MAIN))
        self.child = process.spawn(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   pass_fds=pass_fds)
        self.pid = self.child.pid
        self.numbers = self.ask("pid")

    def tell(self, what, *args):
        self.child.stdin.write(json.dumps([what, *args]) + "\n")
        self.child.stdin.flush()

    def answer(self):
        line = self.child.stdout.readline()
        assert line, f"the actor ended with {self.child.poll()}"
        return json.loads(line)

    def ask(self, what, *args):
        self.tell(what, *args)
        return self.answer()

    def readlink(self, path):
        return self.ask("readlink", path)

    def read(self, path):
        """The SHA-256 of all of it, or the name of an error."""
        return self.ask("read", path)

    def list(self, path):
        return self.ask("list", path)

    def end(self):
        process.kill_group(self.child)
        self.child.stdin.close()
        self.child.stdout.close()


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def child_of(pid):
    """The only child of PID, when there is one."""
    return wait_until(lambda: children_of(pid), f"{pid} has a child")[0]
