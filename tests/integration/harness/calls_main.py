#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the system calls of a plan, one after the other, as whoever it runs as, and tells each answer.

A line on stdin is a plan: the path of a JSON file, a list of [CALL, PATH, ARGUMENT]. Its answers go to PATH.answers:
the name of the errno, or what the call gave. Then `done` is said on stdout, and the next plan is waited for: descriptors that
were kept in one plan can be used in later ones.
"""

import ctypes
import errno
import json
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
kept = {}


def failed():
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def close(fd):
    os.close(fd)
    return "ok"


def call_stat(path, _):
    return facts(os.stat(path))


def call_lstat(path, _):
    return facts(os.lstat(path))


def facts(st):
    return [st.st_size, st.st_nlink, st.st_mode, st.st_blocks]


def call_statx(path, flags):
    """FLAGS: AT_STATX_…"""
    buffer = ctypes.create_string_buffer(256)
    if libc.statx(-100, os.fsencode(path), int(flags), 0x7ff, buffer) != 0:
        failed()
    # struct statx: mask, blksize, attributes, nlink, uid, gid, mode, spare, ino, size, blocks.
    _, _, _, nlink, _, _, mode, _, _, size, blocks = struct.unpack_from("=IIQIIIHHQQQ", buffer)
    return [size, nlink, mode, blocks]


def call_access(path, mode):
    """os.access() hides the errno."""
    if libc.access(os.fsencode(path), {"r": os.R_OK, "x": os.X_OK, "w": os.W_OK, "f": os.F_OK}[mode]) != 0:
        failed()
    return "ok"


def call_lookup(path, _):
    return close(os.open(path, os.O_PATH))


def call_open(path, _):
    return close(os.open(path, os.O_RDONLY))


def call_reopen(path, _):
    """O_PATH first, and then the file behind it."""
    fd = os.open(path, os.O_PATH)
    try:
        return close(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY))
    finally:
        os.close(fd)


def call_keep(path, key):
    """O_PATH, for `kept`."""
    fd = os.open(path, os.O_PATH)
    if key in kept:
        os.close(fd)
    else:
        kept[key] = fd
    return "ok"


def call_kept(_, key):
    return close(os.open(f"/proc/self/fd/{kept[key]}", os.O_RDONLY))


def call_getxattr(path, name):
    return os.getxattr(path, "user.weightfs." + name).decode()


def call_listxattr(path, _):
    return sorted(os.listxattr(path))


def call_readdir(path, _):
    return sorted(os.listdir(path))


def call_statfs(path, _):
    fs = os.statvfs(path)
    return [fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files]


def call_readlink(path, _):
    return os.readlink(path)


def answer(call, path, argument):
    try:
        return globals()["call_" + call](path, argument)
    except OSError as error:
        return errno.errorcode[error.errno]


def main():
    for line in sys.stdin:
        plan = line.strip()
        with open(plan) as file:
            answers = [answer(*step) for step in json.load(file)]
        with open(plan + ".answers", "w") as file:
            json.dump(answers, file)
        print("done", flush=True)


if __name__ == "__main__":
    main()
