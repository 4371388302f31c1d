# SPDX-License-Identifier: Apache-2.0
"""A shared mapping without a descriptor. (mmap.mmap of Python keeps a copy of the one it was made from.)"""

import ctypes
import mmap
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                       ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Mapping:
    """All of PATH, which is open only while it is mapped."""

    def __init__(self, path):
        fd = os.open(path, os.O_RDONLY)
        try:
            self.size = os.fstat(fd).st_size
            self.address = _libc.mmap(None, self.size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
            if self.address in (None, ctypes.c_void_p(-1).value):
                raise OSError(ctypes.get_errno(), "mmap")
        finally:
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _libc.munmap(self.address, self.size)

    def read(self, offset=0, length=None):
        """A fault that fails ends the process."""
        length = self.size - offset if length is None else length
        assert offset + length <= self.size
        return ctypes.string_at(self.address + offset, length)
