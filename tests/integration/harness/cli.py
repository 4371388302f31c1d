# SPDX-License-Identifier: Apache-2.0
"""The command line."""

import json

from . import process
from .paths import WEIGHTFS


def weightfs(*args, **kwargs):
    """Runs a command; its exit status is the test's to judge."""
    return process.run([WEIGHTFS, *args], **kwargs)


def ok(*args, **kwargs):
    """Runs a command that must succeed; what it printed."""
    return process.run([WEIGHTFS, *args], check=True, **kwargs).stdout


def bare(digest):
    """The hex digits of a digest however it is spelled."""
    return digest.rsplit("-", 1)[-1].rsplit(":", 1)[-1]


def status(store, **kwargs):
    """`status --json` of the daemon that has STORE."""
    return json.loads(ok("status", "--json", "--store", store, **kwargs))


def listed(store, **kwargs):
    """`ls --json` as a list of records, digests as bare hex digits."""
    return parsed(ok("ls", "--json", "--store", store, **kwargs))


def parsed(text):
    """What `ls --json` printed, TEXT, as that list."""
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        for key in ("digest", "fsverity"):
            if record.get(key):
                record[key] = bare(record[key])
    return records


def record_of(store, model, **kwargs):
    """MODEL's record, by whichever digest it is known; None if there is none."""
    for record in listed(store, **kwargs):
        if record.get("fsverity") == model.fsverity or \
                record.get("digest") in (model.sha256, model.fsverity):
            return record
    return None
