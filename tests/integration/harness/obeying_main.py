#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Opens what a policy allows by turns, and reads what it always allows, until standard input ends.

    obeying_main.py ALWAYS DIGEST KEPT BY-TURNS…

ALWAYS is opened and read whole, again and again, and must have the SHA-256 DIGEST; KEPT is opened once and read for ever.
The files BY-TURNS are opened one after the other. The last line tells all that was seen of these: {"opens": [[when it
began, when it ended, index, errno or null], …], "reads": N, "kept": N, "failures": […]}, by the monotonic clock.
"""

import errno
import hashlib
import json
import os
import select
import sys
import time

FAILURES_MAX = 20


def try_open(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def digest_of(path):
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(file.read()).hexdigest()


def ended():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main(always, digest, kept, *by_turns):
    opens, failures, reads, kept_reads = [], [], 0, 0
    fd = os.open(kept, os.O_RDONLY)
    size = os.fstat(fd).st_size
    first = os.pread(fd, 4096, 0)
    while not ended():
        for index, path in enumerate(by_turns):
            begun = time.monotonic()
            outcome = try_open(path)
            opens.append((begun, time.monotonic(), index, outcome))
        try:
            if os.pread(fd, 4096, 0) != first or len(os.pread(fd, 1, (size // 7) * (kept_reads % 7))) != 1:
                failures.append("the kept one reads differently")
            kept_reads += 1
            if len(opens) % 20 == 0:
                if digest_of(always) != digest:
                    failures.append("wrong bytes")
                reads += 1
        except OSError as error:
            failures.append(errno.errorcode[error.errno])
        if len(failures) > FAILURES_MAX:
            break
    json.dump({"opens": opens, "reads": reads, "kept": kept_reads, "failures": failures}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
