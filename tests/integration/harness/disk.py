# SPDX-License-Identifier: Apache-2.0
"""A filesystem in a file, whose power can be cut: what has not reached the file by then never does."""

import fcntl
import os
import struct

from . import process
from .poll import wait_until

SHUTDOWN = 0x8004587d  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
FLUSH_LOG, LOSE_LOG = 1, 2
MKFS = {"ext4": ["mkfs.ext4", "-q", "-m", "0"], "xfs": ["mkfs.xfs", "-q"]}


class Disk:
    """Not mounted yet. The folder it is mounted on stays the same."""

    def __init__(self, folder, size, kind="ext4"):
        self.image, self.point = os.path.join(folder, "disk.img"), os.path.join(folder, "disk")
        os.makedirs(self.point)
        with open(self.image, "wb") as file:
            file.truncate(size)
        process.run([*MKFS[kind], self.image], check=True)
        self.mounted = False

    def mount(self):
        process.run(["mount", "-o", "loop", self.image, self.point], check=True)
        self.mounted = True

    def cut(self, how=LOSE_LOG):
        """Nothing is written from here on; who tries is told EIO."""
        fd = os.open(self.point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(fd)

    def umount(self):
        """Until the last one lets go of it: a daemon's own namespace ends a moment after the daemon."""
        if self.mounted:
            process.run(["umount", self.point], check=True)
            self.mounted = False
        wait_until(lambda: not process.run(["losetup", "-j", self.image]).stdout, "the loop device is free")
