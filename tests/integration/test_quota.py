# SPDX-License-Identifier: Apache-2.0
"""Quotas: each origin is charged for what it uses, and learns nothing from it of what others do."""

import os

import pytest

from conftest import ALICE, BOB
from harness import cli, config, reader
from harness.paths import CHUNK, MIB
from harness.poll import wait_until
from harness.views import is_kept, is_stored, read, read_and_keep, use, users, view, wait_until_gone

APP, WIKI, DESK = "https://app.example.com", "https://wiki.example.com", "desk"


def rules(**quotas):
    """APP= and WIKI= have a quota each; DESK has none, unless it is given."""
    text = "caller any is local\nallow local to any with list\n"
    for name, origin in (("app", APP), ("wiki", WIKI), ("desk", DESK)):
        quota = quotas.get(name)
        text += f"allow {origin} to any{f' with list,quota={quota}' if quota else ''}\n"
    return text


def said(mounted, model):
    return [line for line in mounted.log().splitlines()
            if "do not fit the quota" in line and (model.fsverity in line or model.sha256 in line)]


@pytest.fixture
def four(models):
    return [models.blob(8 * MIB, f"quota {number}") for number in range(4)]


@pytest.fixture
def large(models):
    return models.blob(24 * MIB + 5, "larger than a quota")


# ---- within one origin -----------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["attested", "unattested"])
def test_what_an_origin_used_longest_ago_is_released(four, server, mount, kind):
    """And leaves the store, unless another origin uses it, too."""
    first, second, third, fourth = four
    mounted = mount(server, policy=rules(app="20M", wiki="20M"))
    for model in (first, second, first, third):
        read_and_keep(mounted, APP, model, kind)
    assert use(mounted, APP) == (16 * MIB, 20 * MIB)
    wait_until_gone(mounted, second)
    assert is_kept(mounted, first) and is_kept(mounted, third)

    read_and_keep(mounted, WIKI, first, kind)
    read_and_keep(mounted, APP, fourth, kind)
    read_and_keep(mounted, APP, second, kind)
    assert users(mounted, first) == {WIKI}, "the other origin's copy stays"
    wait_until_gone(mounted, third)
    assert use(mounted, APP)[0] == 16 * MIB and use(mounted, WIKI)[0] == 8 * MIB
    assert cli.status(mounted.store)["store"]["used"] == 24 * MIB
    assert mounted.log().count("is not used any more") == 2


def test_open_and_pinned_objects_are_not_released(four, server, mount):
    first, second, third, fourth = four
    mounted = mount(server, policy=rules(desk="20M"))
    with open(view(mounted, DESK, ALICE, "hash", first.attested), "rb") as file:
        assert file.read() == first.read()
        wait_until(lambda: is_kept(mounted, first), "it is kept")
        read_and_keep(mounted, DESK, second)
        read_and_keep(mounted, DESK, third)
        wait_until_gone(mounted, second)
        assert is_kept(mounted, first)
    cli.ok("pin", "--store", mounted.store, third.attested)
    read_and_keep(mounted, DESK, fourth)
    wait_until_gone(mounted, first)
    assert is_kept(mounted, third)
    read_and_keep(mounted, DESK, first)
    wait_until_gone(mounted, fourth)
    assert is_kept(mounted, third)


def test_a_pin_does_not_show_to_a_web_origin(four, server, mount):
    """Whoever pins what it fetched: its quota releases it as if nobody had, and the object stays."""
    first, second, third, _ = four
    mounted = mount(server, policy=rules(app="20M"))
    read_and_keep(mounted, APP, first)
    cli.ok("pin", "--store", mounted.store, first.attested)
    read_and_keep(mounted, APP, second)
    read_and_keep(mounted, APP, third)
    assert use(mounted, APP) == (16 * MIB, 20 * MIB)
    assert is_kept(mounted, first) and APP not in users(mounted, first)
    assert is_kept(mounted, second) and is_kept(mounted, third)


def test_two_users_of_an_origin_have_a_quota_each(four, server, mount):
    mounted = mount(server, policy=rules(app="20M"))
    for uid in (ALICE, BOB):
        for model in four[:2]:
            assert read(mounted, APP, model, uid=uid)["sha256"] == model.sha256
    assert use(mounted, APP, ALICE) == use(mounted, APP, BOB) == (16 * MIB, 20 * MIB)
    assert users(mounted, four[0]) == users(mounted, four[1]) == {APP}


def test_an_origin_without_a_quota_is_counted_but_not_bound(four, server, mount):
    mounted = mount(server, policy=rules(app="9M"))
    for model in four:
        read_and_keep(mounted, DESK, model)
    assert use(mounted, DESK) == (32 * MIB, None)


# ---- what does not fit -----------------------------------------------------------------------------

def test_larger_than_the_quota_is_served_uncached(large, four, server, mount):
    mounted = mount(server, policy=rules(app="20M"))
    read_and_keep(mounted, APP, four[0])
    for _ in range(2):
        assert read(mounted, APP, large)["sha256"] == large.sha256
    assert not is_stored(mounted, large) and is_kept(mounted, four[0]), "nothing goes for it"
    assert use(mounted, APP)[0] == 8 * MIB
    assert len(said(mounted, large)) == 1 and "served uncached" in said(mounted, large)[0]


def test_an_unattested_one_does_not_open(large, four, server, mount):
    mounted = mount(server, policy=rules(app="20M"))
    read_and_keep(mounted, APP, four[0])
    server.mark()
    for _ in range(2):
        assert read(mounted, APP, large, "unattested")["errno"] == "EDQUOT"
    assert server.body_bytes(large.blob_uri("unattested")) <= 2, "it was asked for its size alone"
    assert is_kept(mounted, four[0]) and use(mounted, APP)[0] == 8 * MIB
    assert len(said(mounted, large)) == 1 and "does not open" in said(mounted, large)[0]


@pytest.mark.parametrize("kind", ["attested", "unattested"])
def test_the_answer_is_the_same_whether_others_have_it(large, four, server, mount, kind):
    mounted = mount(server, policy=rules(app="20M", wiki="20M"))

    def answers(origin, model):
        outcome = read(mounted, origin, model, kind)
        fs = os.statvfs(view(mounted, origin))
        return outcome, fs.f_blocks, fs.f_bfree, fs.f_bavail, fs.f_files

    before = answers(APP, large), answers(APP, four[0])
    for model in (large, four[0]):
        read_and_keep(mounted, DESK, model, kind)
    assert (answers(WIKI, large), answers(WIKI, four[0])) == before
    assert before[0][0].get("errno") == (None if kind == "attested" else "EDQUOT")
    assert is_kept(mounted, large) and users(mounted, large) == {DESK}
    server.mark()
    if kind == "attested":
        assert read(mounted, WIKI, large)["sha256"] == large.sha256
        assert server.body_bytes() == 0, "served from what is here, and not charged"


def test_kept_if_any_of_its_readers_may_keep_it(large, server, mount):
    mounted = mount(server, policy=rules(app="20M"))
    with open(view(mounted, APP, ALICE, "hash", large.attested), "rb") as bound:
        assert bound.read(CHUNK) == large.read(0, CHUNK)
        read_and_keep(mounted, DESK, large)
        assert bound.read() == large.read(CHUNK)
    assert users(mounted, large) == {DESK}


def test_what_is_said_to_be_small_and_is_not(folder, large, four, nginx, mount):
    """The size of an unattested object is what a source says, until its bytes turn out to be wrong."""
    os.makedirs(os.path.join(folder, "liar", "s"))
    with open(os.path.join(folder, "liar", "s", large.sha256), "wb") as file:
        file.write(large.read(0, 12 * MIB))
    server, liar = nginx(), nginx(os.path.join(folder, "liar"))
    mounted = mount(config.Source("liar", liar.url, "sha256", priority=20),
                    *config.sources_of(server, priority=10), policy=rules(app="20M"))
    read_and_keep(mounted, APP, four[0])
    assert os.stat(view(mounted, APP, ALICE, "hash", large.sha256)).st_size == 12 * MIB
    assert read(mounted, APP, large, "unattested")["errno"] == "EDQUOT"
    assert server.body_bytes(large.blob_uri("unattested")) < large.size // 2, "it is not fetched for nothing"
    assert use(mounted, APP)[0] == 8 * MIB and is_kept(mounted, four[0])
    # The others may have it.
    assert read(mounted, DESK, large, "unattested")["sha256"] == large.sha256


# ---- the policy changes, the daemon comes again ------------------------------------------------------

def test_a_smaller_quota_is_obeyed_at_the_next_open(four, server, mount):
    mounted = mount(server, policy=rules(app="40M"))
    for model in four:
        read_and_keep(mounted, APP, model)
    start = len(mounted.log())
    mounted.set_policy(rules(app="20M"))
    mounted.wait_for_log("policy .* loaded", start)
    assert use(mounted, APP) == (32 * MIB, 20 * MIB), "nobody has opened anything yet"
    read_and_keep(mounted, APP, four[0])
    assert use(mounted, APP) == (16 * MIB, 20 * MIB)
    for model in four[1:3]:
        wait_until_gone(mounted, model)
    assert is_kept(mounted, four[0]) and is_kept(mounted, four[3])

    start = len(mounted.log())
    mounted.set_policy(rules(app="1M"))
    mounted.wait_for_log("policy .* loaded", start)
    assert read(mounted, APP, four[0])["sha256"] == four[0].sha256
    assert use(mounted, APP) == (0, MIB)
    wait_until_gone(mounted, four[3])


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_a_remount_keeps_the_sums(four, large, server, mount, end):
    mounted = mount(server, policy=rules(app="20M", wiki="40M"))
    for model in four[:2]:
        read_and_keep(mounted, APP, model)
    for model in (four[0], large):
        read_and_keep(mounted, WIKI, model)
    before = cli.status(mounted.store)["views"]
    assert use(mounted, WIKI)[0] == 8 * MIB + large.size
    getattr(mounted, end)()
    mounted.start()
    assert cli.status(mounted.store)["views"] == before
    read_and_keep(mounted, APP, four[2])
    assert users(mounted, four[0]) == {WIKI}


# ---- what is told ------------------------------------------------------------------------------------

def test_statfs_tells_a_view_of_its_own_quota(four, server, mount):
    mounted = mount(server, policy=rules(app="20M"))
    read_and_keep(mounted, APP, four[0])
    for model in four:
        read_and_keep(mounted, DESK, model)
    bound, free, desk = (os.statvfs(view(mounted, origin)) for origin in (APP, WIKI, DESK))
    assert bound.f_blocks * bound.f_frsize == 20 * MIB
    assert bound.f_bavail * bound.f_frsize == bound.f_bfree * bound.f_frsize == 12 * MIB
    assert bound.f_files == 1
    assert free.f_blocks == free.f_bfree == free.f_files == 0, "a web origin without one is told nothing"
    assert desk.f_files == 4


def test_statfs_at_the_top_is_the_callers(four, server, mount):
    mounted = mount(server, policy="caller any is local\nallow local to any with quota=20M\n")
    assert reader.whole(mounted.object(four[0].attested))["sha256"] == four[0].sha256
    for path in (mounted.point, mounted.path("hash")):
        fs = os.statvfs(path)
        assert (fs.f_blocks * fs.f_frsize, fs.f_bavail * fs.f_frsize) == (20 * MIB, 12 * MIB)


def test_status_tells_the_owner_of_all_views(four, server, mount):
    mounted = mount(server, policy=rules(app="20M"))
    read_and_keep(mounted, APP, four[0])
    assert f"view         {APP} (uid {ALICE}): 8.0 MiB of 20.0 MiB in 1 object" in \
        cli.ok("status", "--store", mounted.store)


def test_pull_is_charged(models, server, mount):
    some = [models.blob(8 * MIB, f"pulled by quota {number}") for number in range(3)]
    mounted = mount(server, policy=f"caller uid {BOB} is worker\nallow worker to any with quota=9M\n")
    os.chmod(mounted.store, 0o711)
    for model in some:
        assert cli.weightfs("pull", "--store", mounted.store, model.attested, uid=BOB).returncode == 0
    views = [view for view in cli.status(mounted.store)["views"] if view["quota"]]
    assert [view["used"] for view in views] == [8 * MIB]
    too_large = models.blob(10 * MIB, "pulled over quota")
    refused = cli.weightfs("pull", "--store", mounted.store, too_large.attested, uid=BOB)
    assert refused.returncode == 1 and "does not fit the quota" in refused.stderr


@pytest.mark.parametrize("how", ["add", "pull"])
def test_what_root_brought_stays(models, server, mount, how):
    """An origin that looks at it and goes on to something else does not have it removed."""
    some = [models.blob(8 * MIB, f"brought {number}") for number in range(3)]
    mounted = mount(server, policy=rules(app="9M"))
    for model in some:
        cli.ok(how, "--store", mounted.store, model.path if how == "add" else model.attested)
    for model in some:
        assert read(mounted, APP, model, "attested")["sha256"] == model.sha256
    # Another one's, that nobody else uses, goes.
    other = models.blob(8 * MIB, "not brought")
    read_and_keep(mounted, APP, other)
    assert read(mounted, APP, some[0], "attested")["sha256"] == some[0].sha256
    wait_until(lambda: not is_stored(mounted, other), "it is not used any more")
    assert all(is_kept(mounted, model) for model in some)
