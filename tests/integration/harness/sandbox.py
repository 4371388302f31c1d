# SPDX-License-Identifier: Apache-2.0
"""Sandboxes as others make them, with a guest inside that answers questions (sandbox_main.py)."""

import json
import os
import shutil
import signal
import subprocess

from . import process
from .paths import SOON
from .poll import wait_until

HARNESS = os.path.dirname(os.path.realpath(__file__))
GUEST = ["/usr/bin/python3", "-E", "-s", "-B", "/harness/sandbox_main.py", "/out"]
SYSTEM = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


class Guest:
    """The folder that is /out inside, and what is said through it."""

    def __init__(self, folder, name, uid):
        self.name, self.uid, self.number = name, uid, 0
        self.out = os.path.join(folder, f"out-{name}")
        os.mkdir(self.out)
        os.chown(self.out, uid, uid)
        self.log_path = os.path.join(folder, f"{name}.log")
        self.child = None

    def path(self, name):
        return os.path.join(self.out, name)

    def run(self, command, uid=None):
        with open(self.log_path, "w") as log:
            self.child = process.spawn(process.as_user(uid, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until_ready(self):
        wait_until(lambda: os.path.exists(self.path("ready")) or self.ended(), f"{self.name} has started")
        assert not self.ended(), f"{self.name} ended:\n{self.log()}"

    def ended(self):
        return self.child is not None and self.child.poll() is not None

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def ask(self, *questions):
        """Each [WHAT, PATH]; answers() waits."""
        path = self.path(f"ask-{self.number}.json")
        with open(path + ".new", "w") as file:
            json.dump(questions, file)
        os.rename(path + ".new", path)

    def answers(self):
        path = self.path(f"answer-{self.number}.json")
        wait_until(lambda: os.path.exists(path) or self.ended(), f"{self.name} answers")
        assert os.path.exists(path), f"{self.name} ended:\n{self.log()}"
        self.number += 1
        with open(path) as file:
            return json.load(file)

    def now(self, *questions):
        self.ask(*questions)
        return self.answers()

    def stop(self):
        open(self.path("stop"), "w").close()
        if self.child:
            try:
                self.child.wait(SOON)
            except subprocess.TimeoutExpired:
                pass
            process.kill_group(self.child)


def bare(guest):
    """No sandbox at all: a process of the user."""
    guest.run([*GUEST[:-2], os.path.join(HARNESS, "sandbox_main.py"), guest.out], guest.uid)


def bubblewrap(guest, binds):
    """Run by the user itself, without root: namespaces for everything, processes and users among them.

    BINDS: places inside, by what is seen there.
    """
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr"]
    for name, target in SYSTEM.items():
        command += ["--symlink", target, f"/{name}"]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", HARNESS, "/harness",
                "--bind", guest.out, "/out"]
    for place, source in binds.items():
        command += ["--ro-bind", source, place]
    guest.run(command + GUEST, guest.uid)


def make_root(folder, *places):
    """A root folder with nothing of its own but places to mount things on, and two users."""
    os.makedirs(folder)
    for name, target in SYSTEM.items():
        os.symlink(target, os.path.join(folder, name))
    for name in ("usr", "proc", "sys", "dev", "run", "tmp", "var", "root", "harness", "out", "etc/systemd/system",
                 *places):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for name, text in {"os-release": "ID=weightfs-test\n", "machine-id": "", "hostname": "machine\n",
                       "passwd": "root:x:0:0::/root:/bin/sh\nalice:x:12001:12001::/:/bin/sh\nbob:x:12002:12002::/:/bin/sh\n",
                       "group": "root:x:0:\nalice:x:12001:\nbob:x:12002:\n"}.items():
        with open(os.path.join(folder, "etc", name), "w") as file:
            file.write(text)
    return folder


class Machine:
    """systemd-nspawn: boots a root folder of UNITS (text by name), all of which are started. BINDS as in bubblewrap(), with
    "ro" or "rw" in front: {"/weightfs": ("ro", "/…/mnt")}; ("", "") is an empty folder.
    """

    def __init__(self, folder, name, units, binds):
        self.name = f"weightfs-{name}-{os.getpid()}"
        self.root = make_root(os.path.join(folder, name), *[place[1:] for place in binds])
        self.log_path = os.path.join(folder, f"{name}.log")
        self.write_units(units)
        self.command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}", "--boot",
                        "--register=no", "--keep-unit", "--console=pipe", "--bind-ro=/usr", f"--bind-ro={HARNESS}:/harness",
                        "--kill-signal=SIGRTMIN+3"]
        for place, (how, source) in binds.items():
            if source:
                self.command.append(f"--bind{'-ro' if how == 'ro' else ''}={source}:{place}")
        self.command.append("systemd.unit=tests.target")

    def write_units(self, units):
        folder = os.path.join(self.root, "etc/systemd/system")
        wanted = " ".join(units)
        units = {**units, "tests.target": f"[Unit]\nWants={wanted}\nAllowIsolate=yes\n"}
        for name, text in units.items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)

    def start(self):
        self.before = cgroups_of_machines()
        with open(self.log_path, "w") as log:
            self.child = process.spawn(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(SOON)
        except subprocess.TimeoutExpired:
            pass
        process.kill_group(self.child)
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{self.name}", ignore_errors=True)
        for path in cgroups_of_machines() - self.before:
            remove_cgroup(path)


def service(guest, *lines, after=""):
    """A unit whose only process is GUEST, started after the units AFTER; its /out is at /outs/NAME in the machine."""
    return "\n".join(["[Unit]", "DefaultDependencies=no", f"After={after}", "[Service]", f"User={guest.uid}", *lines,
                      f"BindPaths=/outs/{guest.name}:/out", f"ExecStart={' '.join(GUEST)}", ""])


def own_cgroups():
    """Where a process of ours is in the hierarchies in which systemd-nspawn makes cgroups."""
    hybrid = os.path.isdir("/sys/fs/cgroup/systemd")
    with open("/proc/self/cgroup") as table:
        for line in table:
            _, kind, path = line.rstrip("\n").split(":", 2)
            if kind in ("", "name=systemd"):
                root = {"": "/sys/fs/cgroup/unified" if hybrid else "/sys/fs/cgroup"}.get(kind, "/sys/fs/cgroup/systemd")
                yield root + path


def cgroups_of_machines():
    return {os.path.join(path, name) for path in own_cgroups() for name in ("payload", "supervisor")
            if os.path.isdir(os.path.join(path, name))}


def remove_cgroup(path):
    """With those below it, when all of its processes have ended."""
    folders = [folder for folder, _, _ in os.walk(path, topdown=False)]

    def gone():
        for folder in folders:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                pass
            except OSError:
                return False
        return True
    wait_until(gone, f"{path} has no processes")


def container(guest, folder, binds):
    """An OCI bundle, run by runc as root, with the guest as its user inside."""
    bundle = os.path.join(folder, f"bundle-{guest.name}")
    make_root(os.path.join(bundle, "rootfs"), *[place[1:] for place in binds])
    bind = lambda place, source, how: {"destination": place, "type": "bind", "source": source,
                                       "options": ["bind", how, "nosuid", "nodev"]}
    config = {
        "ociVersion": "1.0.2",
        "process": {"terminal": False, "user": {"uid": guest.uid, "gid": guest.uid}, "args": GUEST,
                    "env": ["PATH=/usr/bin"], "cwd": "/", "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                   bind("/usr", "/usr", "ro"), bind("/harness", HARNESS, "ro"), bind("/out", guest.out, "rw"),
                   *[bind(place, source, "ro") for place, source in binds.items()]],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
    }
    with open(os.path.join(bundle, "config.json"), "w") as file:
        json.dump(config, file)
    state = os.path.join(folder, f"state-{guest.name}")
    guest.run(["runc", "--root", state, "run", "--bundle", bundle, f"weightfs-{guest.name}-{os.getpid()}"])
