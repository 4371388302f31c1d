# SPDX-License-Identifier: Apache-2.0
"""Objects in the views of origins, and what the commands say of who uses them."""

import os

from conftest import ALICE
from . import cli, reader
from .policymodel import directory
from .poll import wait_until


def view(mounted, origin, uid=ALICE, *below):
    return mounted.path("origin", str(uid), directory(origin), *below)


def read(mounted, origin, model, kind="attested", uid=ALICE):
    """All of MODEL, by root in the view."""
    return reader.whole(view(mounted, origin, uid, "hash", model.name(kind)))


def is_stored(mounted, model):
    record = cli.record_of(mounted.store, model)
    return record is not None and record["present"] > 0


def wait_until_gone(mounted, model):
    wait_until(lambda: not is_stored(mounted, model), "it has left the store")


def is_kept(mounted, model):
    record = cli.record_of(mounted.store, model)
    return record is not None and record["state"] == "complete"


def read_and_keep(mounted, origin, model, kind="attested"):
    assert read(mounted, origin, model, kind)["sha256"] == model.sha256
    wait_until(lambda: is_kept(mounted, model), "it is kept")


def users(mounted, model):
    """The origins that use it."""
    return {user.split(" ")[0] for user in users_and_uids(mounted, model)}


def users_and_uids(mounted, model):
    """`ORIGIN (uid N)` of each."""
    record = cli.record_of(mounted.store, model)
    return set(record["origins"]) if record else set()


def use(mounted, origin, uid=ALICE):
    """What `status` says of a view: used, quota."""
    for one in cli.status(mounted.store)["views"]:
        if (one["uid"], one["origin"]) == (uid, origin):
            return one["used"], one["quota"]
    return 0, None


def disk_use(mounted):
    """Bytes that the store's object files take."""
    total = 0
    for folder, _, names in os.walk(os.path.join(mounted.store, "objects")):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total
