#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Faults in pages of a mapping, from threads that really run at once, and tells the outcome.

    mapping_main.py PATH HOW LENGTH THREADS OFFSET…

LENGTH bytes are copied from each OFFSET, the first THREADS of them at once, and so on. The last line is
{"sha256": [one for each]}. HOW:

    fault       through one shared mapping
    private     … a private one
    populate    … that is made with MAP_POPULATE
    willneed    … after madvise(MADV_WILLNEED) for each piece
    fork        … and a child is forked meanwhile, which copies the same; {"forked": pid} comes first
    pread       by pread(2) on one descriptor instead
    pread-own   … on one for each thread
    mixed       by turns: mapped, copied and unmapped, or read

What is in C here runs without the interpreter's lock: a thread that waits for a page stops no other.
"""

import ctypes
import hashlib
import json
import os
import sys
import threading

PROT_READ, MAP_SHARED, MAP_PRIVATE, MAP_POPULATE, MADV_WILLNEED = 1, 1, 2, 0x8000, 3
PAGE = 4096

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
FAILED = ctypes.c_void_p(-1).value


def say(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def map_file(fd, length, flags, offset=0):
    address = libc.mmap(None, length, PROT_READ, flags, fd, offset)
    if address == FAILED:
        raise OSError(ctypes.get_errno(), "mmap")
    return address


def copy(address, length):
    buffer = ctypes.create_string_buffer(length)
    libc.memcpy(buffer, address, length)
    return buffer.raw


def read_fully(fd, length, offset):
    data = b""
    while len(data) < length:
        piece = os.pread(fd, length - len(data), offset + len(data))
        if not piece:
            break
        data += piece
    return data


def read_mixed(fd, length, offset):
    """Now by one way, now by the other, in pieces of odd sizes."""
    data, turn = b"", 0
    while len(data) < length:
        at, n = offset + len(data), min(30011 * (turn % 7 + 1), length - len(data))
        if turn % 2:
            data += read_fully(fd, n, at)
        else:
            begin = at // PAGE * PAGE
            address = map_file(fd, at - begin + n, MAP_SHARED, begin)
            data += copy(address + at - begin, n)
            libc.munmap(address, at - begin + n)
        turn += 1
    return data


def begin(tasks, n):
    """N threads, the results of TASKS, each with every Nth of them; all begin when all are there."""
    gate = threading.Barrier(n)
    results = [None] * len(tasks)

    def some(first):
        gate.wait()
        for index in range(first, len(tasks), n):
            results[index] = hashlib.sha256(tasks[index]()).hexdigest()

    threads = [threading.Thread(target=some, args=(first,)) for first in range(n)]
    for thread in threads:
        thread.start()
    return threads, results


def fork_and_copy(address, length, offsets):
    """In the child there is only this thread; it says nothing but whether it saw what its parent sees."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        digests = [hashlib.sha256(copy(address + at, length)).hexdigest() for at in offsets]
        os.write(writing, json.dumps(digests).encode())
        os._exit(0)
    os.close(writing)
    say(forked=pid)
    return pid, reading


def main(path, how, length, threads, *offsets):
    fd, length, offsets = os.open(path, os.O_RDONLY), int(length), list(map(int, offsets))
    size = os.fstat(fd).st_size
    if how in ("pread", "pread-own"):
        fds = [os.open(path, os.O_RDONLY) if how == "pread-own" else fd for _ in range(int(threads))]
        tasks = [lambda fd=fds[i % len(fds)], at=at: read_fully(fd, length, at)
                 for i, at in enumerate(offsets)]
    elif how == "mixed":
        tasks = [lambda at=at: read_mixed(fd, length, at) for at in offsets]
    else:
        flags = MAP_PRIVATE if how == "private" else MAP_SHARED
        address = map_file(fd, size, flags | (MAP_POPULATE if how == "populate" else 0))
        if how == "willneed":
            for at in offsets:
                libc.madvise(address + at // PAGE * PAGE, length, MADV_WILLNEED)
        tasks = [lambda at=at: copy(address + at, length) for at in offsets]
    threads, results = begin(tasks, int(threads))
    child = fork_and_copy(address, length, offsets) if how == "fork" else None
    for thread in threads:
        thread.join()
    if child:
        with os.fdopen(child[1]) as pipe:
            theirs = json.load(pipe)
        os.waitpid(child[0], 0)
        assert theirs == results, "the child saw something else"
    say(sha256=results)


if __name__ == "__main__":
    main(*sys.argv[1:])
