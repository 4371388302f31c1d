# SPDX-License-Identifier: Apache-2.0
"""Objects in the views of origins, and what the commands say of who uses them."""

import os
import stat

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
    """Bytes that objects take on the disk, those apart too."""
    return size_below(os.path.join(mounted.store, "objects")) + apart(mounted)


def apart(mounted):
    """Bytes in files of what views fetch for themselves: whether they have a name, or are only open in the daemon."""
    folder = f"/proc/{mounted.child.pid}/fd"
    nameless = sizes_of((os.path.join(folder, name) for name in os.listdir(folder)), nameless=True)
    return size_below(os.path.join(mounted.store, "tmp")) + sum(nameless)


def size_below(folder):
    return sum(sizes_of(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names))


def sizes_of(paths, nameless=False):
    for path in paths:
        try:
            st = os.stat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(st.st_mode) and (st.st_nlink == 0 or not nameless):
            yield st.st_blocks * 512
