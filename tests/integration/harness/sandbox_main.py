#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Answers questions from within a sandbox, through a folder that it shares with the test: ask-N.json becomes answer-N.json,
until there is a file `stop`.

A question is [WHAT, PATH]; its answer what reader_main.py says, or the name of the errno.
"""

import errno
import json
import os
import sys
import time

import reader_main

PATIENCE_S = 240


def answer(what, path):
    try:
        return ANSWERS[what](path)
    except OSError as error:
        return errno.errorcode[error.errno]


def mounts(path):
    """What is mounted, and from where in its filesystem."""
    with open(path) as table:
        return [line.split()[3:5] for line in table]


def everything(path):
    """All names that can be reached below PATH, without what the kernel makes."""
    found = []
    for folder, names, files in os.walk(path):
        names[:] = [name for name in names if os.path.join(folder, name) not in LEFT_OUT]
        found += [os.path.join(folder, name) for name in names + files]
    return sorted(found)


LEFT_OUT = {"/proc", "/sys", "/dev", "/usr", "/etc", "/run", "/var", "/harness"}

ANSWERS = {
    "read": lambda path: reader_main.read_whole(path, "read"),
    "mmap": lambda path: reader_main.read_whole(path, "mmap-pages"),
    "calls": reader_main.try_calls,
    "list": lambda path: sorted(os.listdir(path)),
    "readlink": os.readlink,
    "identity": lambda _: [os.getuid(), os.getpid()],
    "mounts": mounts,
    "everything": everything,
}


def main(folder):
    number, deadline = 0, time.monotonic() + PATIENCE_S
    open(os.path.join(folder, "ready"), "w").close()
    while not os.path.exists(os.path.join(folder, "stop")) and time.monotonic() < deadline:
        question = os.path.join(folder, f"ask-{number}.json")
        if not os.path.exists(question):
            time.sleep(0.02)
            continue
        with open(question) as file:
            answers = [answer(*step) for step in json.load(file)]
        path = os.path.join(folder, f"answer-{number}.json")
        with open(path + ".new", "w") as file:
            json.dump(answers, file)
        os.rename(path + ".new", path)
        number += 1


if __name__ == "__main__":
    main(sys.argv[1])
