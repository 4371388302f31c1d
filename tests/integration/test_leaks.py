# SPDX-License-Identifier: Apache-2.0
"""Ways by which an origin could learn what others have, or go on after the policy changed: each was one once."""

import errno
import os

import pytest

from conftest import ALICE
from harness import cli, reader
from harness.paths import CHUNK, MIB
from harness.poll import wait_until
from harness.views import is_stored, read, read_and_keep, use, view
from test_sharing import APP, DESK, KINDS, owned, path, rules, shared_set, wait_until_owned, wait_until_reloaded


def outcome(call, *args):
    try:
        call(*args)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def looks(descriptor):
    """What a kept descriptor without a file behind it still tells."""
    name = f"/proc/self/fd/{descriptor}"
    return {"getxattr": outcome(os.getxattr, name, "user.weightfs.digest"),
            "listxattr": outcome(os.listxattr, name),
            "open": outcome(lambda: os.close(os.open(name, os.O_RDONLY)))}


@KINDS
@pytest.mark.parametrize("others", [True, False], ids=["others have it", "nobody has it"])
def test_what_was_released_is_gone_from_kept_descriptors(models, server, mount, others, kind):
    first, second = models.blob(6 * CHUNK + 1, "released"), models.blob(6 * CHUNK + 3, "after it")
    mounted = mount(server, policy=rules(app=f",quota={8 * CHUNK}"))
    if others:
        read_and_keep(mounted, DESK, first, kind)
    assert read(mounted, APP, first, kind)["sha256"] == first.sha256
    wait_until_owned(mounted, first)
    kept = os.open(path(mounted, APP, first, kind), os.O_PATH)
    try:
        assert looks(kept) == {"getxattr": "ok", "listxattr": "ok", "open": "ok"}
        assert read(mounted, APP, second, kind)["sha256"] == second.sha256
        wait_until(lambda: not owned(mounted, first), "it is released")
        wait_until(lambda: is_stored(mounted, first) == others, "what nobody uses is gone")
        assert looks(kept) == {"getxattr": "ESTALE", "listxattr": "ESTALE", "open": "ESTALE"}
    finally:
        os.close(kept)


def test_what_is_not_shared_any_more_is_gone_from_kept_descriptors(models, server, mount):
    model = models.blob(2 * CHUNK, "shared for a while")
    mounted = mount(server, policy=shared_set(model) + "\n" + rules())
    read_and_keep(mounted, DESK, model)
    kept = os.open(path(mounted, APP, model), os.O_PATH)
    try:
        assert looks(kept)["getxattr"] == "ok"
        wait_until_reloaded(mounted, rules())
        assert looks(kept) == {"getxattr": "ESTALE", "listxattr": "ESTALE", "open": "ESTALE"}
    finally:
        os.close(kept)


def test_an_open_file_can_be_looked_at_after_it_was_removed(models, server, mount):
    model = models.blob(2 * CHUNK + 1, "removed while open")
    mounted = mount(server, policy=rules())
    assert read(mounted, APP, model)["sha256"] == model.sha256
    wait_until_owned(mounted, model)
    with open(path(mounted, APP, model), "rb") as file:
        cli.ok("rm", "--store", mounted.store, model.attested)
        assert os.fstat(file.fileno()).st_size == model.size
        assert file.read() == model.read()


def test_a_listing_does_not_get_around_a_probe_budget(models, server, mount):
    all_of_them = [models.blob(CHUNK + number, f"listed {number}") for number in range(6)]
    mounted = mount(server, policy=shared_set(*all_of_them) + "\n" + rules(app=",probes=2/1h"))
    for model in all_of_them:
        read_and_keep(mounted, DESK, model)
    folder = view(mounted, APP, ALICE, "hash")
    assert os.listdir(folder) == []
    assert outcome(os.stat, path(mounted, APP, all_of_them[0])) == "ok"
    own = models.blob(CHUNK + 99, "its own")
    assert read(mounted, APP, own)["sha256"] == own.sha256
    wait_until(lambda: os.listdir(folder) == [own.sha256], "it lists what it has")


def test_an_open_that_waits_is_decided_again(models, server, link, mount):
    """The policy denies the object while an open fetches all of it."""
    model = models.blob(6 * MIB, "waited for")
    slow = link(server, 2 * MIB)
    allowing = "caller any is local\nallow local to any\n"
    mounted = mount(slow, policy=allowing)
    opening = reader.Reader("whole", mounted.object(model.sha256), "read")
    wait_until(lambda: server.requests(), "the fetch has begun")
    wait_until_reloaded(mounted, "caller any is local\ndeny any to any\n")
    assert opening.outcome().get("errno") == "ENOENT"
    wait_until_reloaded(mounted, allowing)
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256


def test_what_was_only_looked_up_does_not_pile_up(models, server, mount):
    """The chunk of a small object comes with its look-up, and is charged to nobody."""
    small = [models.blob(1000 + number, f"looked up {number}") for number in range(80)]
    mounted = mount(server, policy=rules())
    for model in small[:60]:
        assert os.stat(path(mounted, APP, model)).st_size == model.size
    more = iter(small[60:])

    def few_are_left():
        """What was still being worked on a moment ago goes with the next look-up."""
        os.stat(path(mounted, APP, next(more)))
        return len(os.listdir(os.path.join(mounted.store, "tmp"))) <= 20

    wait_until(few_are_left, "few are kept", interval=0.2)


def test_what_a_quota_released_does_not_stay_apart(models, server, mount):
    mounted = mount(server, policy=rules(app=",quota=3M"))
    for number in range(6):
        model = models.blob(2 * MIB + number, f"read in part {number}")
        with open(path(mounted, APP, model), "rb") as file:
            assert file.read(1) == model.read()[:1]
    assert use(mounted, APP)[0] <= 3 * MIB
    wait_until(lambda: len(os.listdir(os.path.join(mounted.store, "tmp"))) <= 2, "what was released is gone")


def test_the_log_does_not_name_web_origins(models, server, mount):
    mounted = mount(server, policy=rules(app=",quota=1M,probes=1/1h"))
    large = models.blob(3 * MIB, "larger than the quota")
    assert read(mounted, APP, large, "unattested").get("errno") == "EDQUOT"
    assert outcome(os.stat, path(mounted, APP, models.blob(CHUNK, "over the budget"))) == "ENOENT"
    log = mounted.wait_for_log("looked for more than") or mounted.log()
    assert "do not fit the quota of a web origin" in mounted.log() and "app.example.com" not in log.replace(mounted.store, "")
