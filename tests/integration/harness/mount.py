# SPDX-License-Identifier: Apache-2.0
"""The daemon under test: started in the foreground as a child, and taken down without a trace."""

import os
import re
import signal
import subprocess
import uuid

from . import process
from .paths import MOUNT_OPTIONS, SOON, WEIGHTFS
from .poll import wait_until


def mounts_below(folder, pid="self"):
    """Mount points at or below FOLDER, deepest last, as PID sees them."""
    folder = os.path.realpath(folder)
    found = []
    with open(f"/proc/{pid}/mountinfo") as table:
        for line in table:
            point = line.split()[4].encode().decode("unicode_escape")
            if point == folder or point.startswith(folder + "/"):
                found.append(point)
    return found


def detach(point):
    """Whatever it takes, also after the daemon died."""
    for command in (["fusermount3", "-u", "-z", point], ["umount", "-l", point]):
        if point not in mounts_below(point):
            return
        subprocess.run(command, capture_output=True)


class MountFailed(AssertionError):
    pass


class Mount:
    """`weightfs mount -f`. OPTIONS: further words for -o. UID: mounts as that ordinary user."""

    def __init__(self, folder, conf=None, policy=None, store=None, options=(), uid=None,
                 conf_as_source=False):
        self.folder, self.uid = folder, uid
        self.point = os.path.join(folder, "mnt")
        self.store = store or os.path.join(folder, "store")
        self.conf, self.policy = conf, policy
        self.log_path = os.path.join(folder, "daemon.log")
        self.child = None
        options = MOUNT_OPTIONS + list(options)
        source = "none"
        if conf and conf_as_source:
            source = conf
        elif conf:
            options.append(f"conf={conf}")
        if policy:
            options.append(f"policy={policy}")
        options.append(f"store={self.store}")
        self.command = [WEIGHTFS, "mount", "-f", "-o", ",".join(options), source, self.point]

    def make_folders(self):
        os.makedirs(self.point, exist_ok=True)
        if self.uid is not None:
            os.chown(self.folder, self.uid, self.uid)
            os.chown(self.point, self.uid, self.uid)

    def launch(self):
        """Starts the daemon without waiting for anything."""
        self.make_folders()
        with open(self.log_path, "a") as log:
            self.child = process.spawn(process.as_user(self.uid, self.command),
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self):
        self.launch()
        wait_until(self.mounted, "the daemon has mounted")
        return self

    def mounted(self):
        if self.child.poll() is not None:
            raise MountFailed(f"weightfs ended with {self.child.returncode}:\n{self.log()}")
        return self.point in mounts_below(self.folder)

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def log(self):
        try:
            with open(self.log_path, errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def wait_for_log(self, pattern, start=0):
        """A line of the log, from character START on, in which PATTERN occurs."""
        return wait_until(lambda: re.search(f".*(?:{pattern}).*", self.log()[start:]),
                          f"{pattern!r} in the log").group()

    def path(self, *parts):
        return os.path.join(self.point, *parts)

    def object(self, name):
        return self.path("hash", name)

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def set_policy(self, text):
        """Atomically, as an administrator's editor does; it is read again at once, or a moment later."""
        with open(self.policy + ".new", "w") as file:
            file.write(text)
        os.rename(self.policy + ".new", self.policy)
        self.reload()

    def stop(self):
        """SIGTERM: it unmounts and ends with 0."""
        assert self.child.poll() is None, \
            f"weightfs had ended with {self.child.returncode}:\n{self.log()}"
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(SOON)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"weightfs did not end on SIGTERM:\n{self.log()}") from None
        assert self.child.returncode == 0, \
            f"weightfs ended with {self.child.returncode} on SIGTERM:\n{self.log()}"
        assert not mounts_below(self.folder), "still mounted after SIGTERM"
        self.child = None

    def crash(self):
        """kill -9, and what an administrator does next."""
        process.kill_group(self.child)
        self.child = None
        detach(self.point)

    def clean_up(self):
        """For teardown: leaves nothing, whatever happened."""
        if self.child and self.child.poll() is None:
            process.kill_group(self.child)
        self.child = None
        for point in reversed(mounts_below(self.folder)):
            detach(point)

    def memory_peak(self):
        """VmHWM in bytes."""
        with open(f"/proc/{self.child.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))


class Booted(Mount):
    """A daemon that finds another boot id at each start. It has a mount namespace of its own, in which that file is
    another one; path() leads into it, also when the daemon is dead.
    """

    SCRIPT = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"'

    def __init__(self, folder, *args, **kwargs):
        super().__init__(folder, *args, **kwargs)
        self.boot_id, self.door = os.path.join(folder, "boot_id"), -1
        self.command = ["unshare", "--mount", "sh", "-c", self.SCRIPT, "sh", self.boot_id] + self.command

    def launch(self):
        with open(self.boot_id, "w") as file:
            file.write(f"{uuid.uuid4()}\n")
        super().launch()

    def start(self):
        super().start()
        self.door = os.open(f"/proc/{self.child.pid}/root{self.point}", os.O_PATH | os.O_DIRECTORY)
        return self

    def mounted(self):
        super().mounted()
        return self.point in mounts_below(self.folder, self.child.pid)

    def path(self, *parts):
        return os.path.join(f"/proc/{os.getpid()}/fd/{self.door}", *parts)

    def close_door(self):
        if self.door >= 0:
            os.close(self.door)
        self.door = -1

    def stop(self):
        self.close_door()
        super().stop()

    def crash(self):
        self.close_door()
        super().crash()

    def clean_up(self):
        self.close_door()
        super().clean_up()
