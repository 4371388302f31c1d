# SPDX-License-Identifier: Apache-2.0
"""Cgroups that a test makes, in a hierarchy that names processes to the daemon (fs/origins/cgroup.h), and removes."""

import os

from .poll import wait_until

ROOT = "/sys/fs/cgroup"


def hierarchies():
    """Where cgroups can be made that count: the only version 2, or `unified` and `systemd` of a hybrid, or the first
    controller of version 1.
    """
    if os.path.exists(os.path.join(ROOT, "cgroup.controllers")):
        found = [ROOT]
    else:
        found = []
        if os.path.exists(os.path.join(ROOT, "unified", "cgroup.controllers")):
            found.append(os.path.join(ROOT, "unified"))
        others = ["systemd", "pids", "memory", "cpu", "cpuacct", "cpuset", "devices", "freezer", "blkio"]
        found += [path for path in (os.path.join(ROOT, name) for name in others)
                  if os.path.exists(os.path.join(path, "cgroup.procs"))][:1]
    return [path for path in found if can_make(path)]


def can_make(path):
    trial = os.path.join(path, f"weightfs-trial-{os.getpid()}")
    try:
        os.mkdir(trial)
        os.rmdir(trial)
    except OSError:
        return False
    return True


class Cgroups:
    """Below one hierarchy. Names begin with what no other test run has."""

    def __init__(self, root):
        self.root, self.made = root, []
        self.prefix = f"weightfs-test-{os.getpid()}"

    def name(self, name):
        return f"/{self.prefix}-{name}"

    def folder(self, path):
        return self.root + path

    def make(self, path):
        """PATH, as the policy names it, and what is above it."""
        at = ""
        for part in path.strip("/").split("/"):
            at += "/" + part
            if not os.path.isdir(self.folder(at)):
                os.mkdir(self.folder(at))
                self.made.append(at)
        return path

    def procs(self, path):
        return os.path.join(self.folder(path), "cgroup.procs")

    def move(self, path, pid):
        with open(self.procs(path), "w") as file:
            file.write(str(pid))

    def remove(self):
        """Whoever was in them has ended, or does so now."""
        for path in reversed(self.made):
            wait_until(lambda: self.removed(self.folder(path)), f"{path} is empty and removed")

    @staticmethod
    def removed(folder):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True
