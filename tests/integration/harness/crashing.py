# SPDX-License-Identifier: Apache-2.0
"""What tests of a store that survives have in common: readers that know the truth, and what is recorded."""

import json
import os
import re
import subprocess

from . import process
from .paths import CHUNK, WEIGHTFS
from .reader import Reader

MAIN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "random_main.py")
RECORDS = os.path.join(os.path.dirname(WEIGHTFS), "tests", "tools", "store-records")


class RandomReaders(Reader):
    """random_main.py at work on FILES, pairs of a path and what it must hold."""

    def __init__(self, seed, readers, files, count=0):
        self.readers = readers
        flat = [path for pair in files for path in pair]
        super().__init__(seed, readers, count, *flat, main=MAIN, stdin=subprocess.PIPE)

    def end(self, timeout=120):
        """Of each that was not killed, what it says; fails if one saw a wrong byte, or does not end."""
        self.child.stdin.close()
        try:
            self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill_group(self.child)
            raise AssertionError(f"still reading after {timeout} s") from None
        said = self.lines()
        wrong = [line for line in said if "wrong" in line]
        assert not wrong, f"a wrong byte: {wrong}"
        assert self.child.returncode == 0 and len(said) == self.readers, \
            f"readers ended with {self.child.returncode}: {said}"
        return said


def reads(said):
    return sum(line["reads"] for line in said)


def errors(said):
    """Those that readers were told, each once."""
    return {name for line in said for name in line["errors"]}


class Record:
    """An object in a store that no daemon has: COMPLETE, PINNED, CHUNKS by number → boot id."""

    def __init__(self, line):
        self.sha256, self.fsverity, self.size = line["sha256"], line["fsverity"], line["size"]
        self.complete, self.pinned = line["complete"], line["pinned"]
        self.chunks = {int(number): boot for number, boot in line["chunks"].items()}

    def has(self, chunk, boot=None):
        return self.complete or (chunk in self.chunks and boot in (None, self.chunks[chunk]))


def recorded(store):
    """What is recorded in STORE, whose daemon is dead: by digest, either one."""
    lines = process.run([RECORDS, store], check=True).stdout.splitlines()
    found = {}
    for record in (Record(json.loads(line)) for line in lines):
        for digest in (record.sha256, record.fsverity):
            if digest and (digest not in found or record.complete):
                found[digest] = record
    return found


def chunks_asked(request):
    """The chunks that a request of the log asked for: FIRST, END."""
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", request["range"])
    if not match:
        return 0, 1 << 62  # all of it
    return int(match[1]) // CHUNK, int(match[2]) // CHUNK + 1


def refetched(requests, records, models, boot=None):
    """Which REQUESTS ask for a chunk of MODELS that RECORDS say is here (written in BOOT): [] is right."""
    by_uri = {model.blob_uri(kind): records.get(digest)
              for model in models
              for kind, digest in (("attested", model.fsverity), ("unattested", model.sha256))}
    found = []
    for request in requests:
        if request.is_probe:
            continue
        record = by_uri.get(request["uri"])
        if record is None:
            continue
        first, end = chunks_asked(request)
        end = min(end, -(-record.size // CHUNK))
        again = [chunk for chunk in range(first, end) if record.has(chunk, boot)]
        if again:
            found.append((request["uri"], request["range"], again))
    return found
