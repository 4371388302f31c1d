#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a file in one of several ways and tells the outcome as JSON lines on stdout.

A process of its own, so that a test can give it an identity, kill it, and outlive a read that hangs
or a bus error. {"progress": N} lines are followed by one line with the outcome: {"sha256", "size"} or
{"errno", "at", "offset"}.
"""

import errno
import hashlib
import json
import mmap
import os
import sys
import threading

MIB = 1 << 20


class Tally:
    """Hashes what was read and says how far it is."""

    def __init__(self):
        self.hash, self.size, self.said = hashlib.sha256(), 0, 0

    def add(self, data):
        self.hash.update(data)
        self.size += len(data)
        if self.size - self.said >= MIB:
            self.said = self.size
            say(progress=self.size)


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def read_sequentially(fd, tally, step):
    while data := os.read(fd, step):
        tally.add(data)


def read_mapped(fd, tally, step):
    size = os.fstat(fd).st_size
    if size:
        with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as view:
            for offset in range(0, size, step):
                tally.add(view[offset:offset + step])


def read_sendfile(fd, tally, step):
    """Through a pipe: splice, as a web server would."""
    size = os.fstat(fd).st_size
    offset = 0
    reading, writing = os.pipe()
    while offset < size:
        sent = os.sendfile(writing, fd, offset, min(step, 65536))
        if sent == 0:
            break
        offset += sent
        left = sent
        while left:
            data = os.read(reading, left)
            left -= len(data)
            tally.add(data)


def read_odd(fd, tally, step):
    """Positions that fit no block, with overlaps, and past the end."""
    offset = 0
    while True:
        data = os.pread(fd, step, offset)
        tally.add(data)
        if len(data) < step and not os.pread(fd, 1, offset + len(data)):
            return
        overlap = os.pread(fd, 7, max(0, offset - 3))
        if offset >= 4 and overlap[3:] != data[:len(overlap) - 3]:
            raise AssertionError(f"two reads at {offset} disagree")
        offset += len(data)


WAYS = {"read": (read_sequentially, MIB), "small": (read_sequentially, 4000),
        "mmap": (read_mapped, 65536), "mmap-pages": (read_mapped, 4096),
        "sendfile": (read_sendfile, MIB), "odd": (read_odd, 98765)}


def read_whole(path, way):
    tally = Tally()
    at, fd = "open", -1
    try:
        fd = os.open(path, os.O_RDONLY)
        at = "read"
        function, step = WAYS[way]
        function(fd, tally, step)
    except OSError as error:
        return {"errno": errno.errorcode[error.errno], "at": at, "offset": tally.size,
                "sha256_so_far": tally.hash.hexdigest()}
    finally:
        if fd >= 0:
            close_quietly(fd)
    return {"sha256": tally.hash.hexdigest(), "size": tally.size}


def close_quietly(fd):
    """FUSE tells at close() what it could not flush: of no interest to a reader."""
    try:
        os.close(fd)
    except OSError:
        pass


def read_part(path, offset, length):
    try:
        fd = os.open(path, os.O_RDONLY)
        data = os.pread(fd, length, offset)
    except OSError as error:
        return {"errno": errno.errorcode[error.errno]}
    os.close(fd)
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def read_together(path, offset, count):
    """COUNT threads, each its own 4 KiB of the chunk at OFFSET, all at once."""
    gate = threading.Barrier(count)
    parts = [None] * count

    def one(index):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        gate.wait()
        try:
            parts[index] = os.pread(fd, 4096, offset + index * 4096)
        finally:
            os.close(fd)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if None in parts:
        return {"errno": "some thread failed"}
    data = b"".join(parts)
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def try_calls(path):
    """What each system call that names PATH answers: errno or 0."""
    calls = {
        "open": lambda: os.close(os.open(path, os.O_RDONLY)),
        "open O_PATH": lambda: os.close(os.open(path, os.O_PATH)),
        "stat": lambda: os.stat(path),
        "lstat": lambda: os.lstat(path),
        "access": lambda: accessible(path),
        "getxattr": lambda: os.getxattr(path, "user.weightfs.digest"),
        "listxattr": lambda: os.listxattr(path),
        "chdir": lambda: os.chdir(path),
        "readlink": lambda: os.readlink(path),
        "truncate": lambda: os.truncate(path, 0),
    }
    answers = {}
    for name, call in calls.items():
        try:
            call()
            answers[name] = 0
        except OSError as error:
            answers[name] = errno.errorcode[error.errno]
    return answers


def accessible(path):
    # os.access() hides errno.
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.access(os.fsencode(path), os.R_OK) != 0:
        raise OSError(ctypes.get_errno(), "access")


def main(what, path, *args):
    if what == "whole":
        say(**read_whole(path, *args))
    elif what == "part":
        say(**read_part(path, int(args[0]), int(args[1])))
    elif what == "together":
        say(**read_together(path, int(args[0]), int(args[1])))
    elif what == "calls":
        say(**try_calls(path))
    elif what == "list":
        say(names=sorted(os.listdir(path)))
    elif what == "readlink":
        say(target=os.readlink(path))
    else:
        sys.exit(f"unknown: {what}")


if __name__ == "__main__":
    main(*sys.argv[1:])
