# SPDX-License-Identifier: Apache-2.0
"""What of a file is in the page cache: cachestat(2), Linux 6.5."""

import ctypes
import errno
import os

import pytest

CACHESTAT = 451  # on every architecture
PAGE = os.sysconf("SC_PAGE_SIZE")

_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    _fields_ = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]


class _Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in
                ("cached", "dirty", "writeback", "evicted", "recently_evicted")]


def cached(fd):
    """Bytes that the inode of FD has in the page cache. Of a mount that is its own cache, not the backing file's."""
    everything, statistics = _Range(0, 0), _Statistics()
    if _libc.syscall(ctypes.c_long(CACHESTAT), ctypes.c_int(fd), ctypes.byref(everything),
                     ctypes.byref(statistics), ctypes.c_uint(0)) != 0:
        if ctypes.get_errno() == errno.ENOSYS:
            pytest.skip("the kernel has no cachestat(2)")
        raise OSError(ctypes.get_errno(), "cachestat")
    return statistics.cached * PAGE


def cached_at(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return cached(fd)
    finally:
        os.close(fd)


def drop(path):
    """Give up what PATH, which has nothing unwritten, has in the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
