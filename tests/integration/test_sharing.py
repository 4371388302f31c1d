# SPDX-License-Identifier: Apache-2.0
"""Sharing without telling: what a web origin may have from others, and what is fetched for it although it is here."""

import os

import pytest

from conftest import ALICE, BOB, NOBODY
from harness import cli, process, reader
from harness.models import unknown_digest
from harness.mount import Booted
from harness.paths import CHUNK, KIB, MIB
from harness.poll import holds_for, wait_until
from harness.views import apart, disk_use, is_kept, is_stored, read, read_and_keep, use, users, users_and_uids, view, \
    wait_until_gone

APP, WIKI, DESK = "https://app.example.com", "https://wiki.example.com", "desk"


@pytest.fixture
def model(models):
    """A few chunks and five bytes: one transfer."""
    return models.blob(12 * CHUNK + 5, "sharing")


KINDS = pytest.mark.parametrize("kind", ["attested", "unattested"])


def rules(*first, app="", wiki=""):
    """FIRST: lines before the general ones. APP, WIKI: further options of these."""
    return "\n".join([*first, "caller any is local", "allow local to any with list", f"allow {DESK} to any with list",
                      f"allow {APP} to any with list{app}", f"allow {WIKI} to any with list{wiki}", ""])


def shared_set(*models):
    """Known by either name."""
    return "set common " + " ".join(f"sha256-{model.sha256} {model.attested}" for model in models) + " shared"


def path(mounted, origin, model, kind="attested", uid=ALICE):
    return view(mounted, origin, uid, "hash", model.name(kind))


def fetched(server, model):
    """Bytes of MODEL that the source has sent since the mark."""
    return sum(server.body_bytes(model.blob_uri(kind)) for kind in ("attested", "unattested"))


def nothing_is_asked(server):
    return not server.requests(probes=True)


def owned(mounted, model, origin=APP, uid=ALICE):
    """It is recorded as a user."""
    return f"{origin} (uid {uid})" in users_and_uids(mounted, model)


def wait_until_owned(mounted, model, origin=APP, uid=ALICE):
    wait_until(lambda: owned(mounted, model, origin, uid), f"{origin} is recorded as a user")


def records(mounted, model):
    return [record for record in cli.listed(mounted.store)
            if model.sha256 in (record.get("digest"), record["name"]) or record.get("fsverity") == model.fsverity]


def wait_until_reloaded(mounted, text):
    start = len(mounted.log())
    mounted.set_policy(text)
    mounted.wait_for_log("policy .* loaded", start)


# ---- a fetch of its own ----------------------------------------------------------------------------

@KINDS
def test_a_private_object_is_fetched_although_it_is_here(model, server, mount, kind):
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, DESK, model, kind)
    for origin, uid in ((APP, ALICE), (WIKI, ALICE), (APP, BOB)):
        server.mark()
        assert read(mounted, origin, model, kind, uid)["sha256"] == model.sha256
        assert fetched(server, model) >= model.size, f"{origin} (uid {uid}) has not fetched all of it"
        wait_until_owned(mounted, model, origin, uid)
    assert len(records(mounted, model)) == 1
    # From here on each of them shares it.
    server.mark()
    for origin, uid in ((APP, ALICE), (WIKI, ALICE), (APP, BOB), (DESK, ALICE)):
        for name in (model.attested, model.unattested, f"sha256:{model.sha256}"):
            whole = reader.whole(view(mounted, origin, uid, "hash", name))
            assert whole["sha256"] == model.sha256, f"{origin} (uid {uid}) by {name}"
    assert nothing_is_asked(server)


@KINDS
def test_nor_is_it_told_by_a_source_that_is_asked_less(small, server, mount, kind):
    """The requests for an object that others have are those for one that nobody has."""
    mounted = mount(server, policy=rules())
    asked = []
    for _ in range(2):
        server.mark()
        origin = WIKI if asked else APP
        assert os.stat(path(mounted, origin, small, kind)).st_size == small.size
        assert read(mounted, origin, small, kind)["sha256"] == small.sha256
        asked.append(sorted((r["method"], r["uri"], r["range"], r["status"]) for r in server.requests(probes=True)))
        if len(asked) == 1:
            wait_until_owned(mounted, small)
            read_and_keep(mounted, DESK, small, kind)
    assert asked[0] == asked[1] and asked[0]


@KINDS
def test_what_is_fetched_twice_is_stored_once(model, server, mount, kind):
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, DESK, model, kind)
    for origin in (APP, WIKI):
        assert read(mounted, origin, model, kind)["sha256"] == model.sha256
        wait_until_owned(mounted, model, origin)
    once = lambda: 0.9 * model.size < disk_use(mounted) < model.size + MIB
    wait_until(once, "what was fetched apart has left the disk")
    assert len(records(mounted, model)) == 1
    assert cli.status(mounted.store)["store"]["used"] == model.size
    # Also when nobody had it before.
    cli.ok("rm", "--store", mounted.store, model.sha256)
    assert read(mounted, WIKI, model, kind)["sha256"] == model.sha256
    wait_until(lambda: once() and len(records(mounted, model)) == 1, "it is stored once")


@KINDS
def test_three_at_once(model, server, link, mount, kind):
    """Each with a fetch of its own, or with the store's; all with the right bytes."""
    mounted = mount(link(server, 20 * MIB), policy=rules())
    readers = [reader.Reader("whole", path(mounted, origin, model, kind, uid), way)
               for origin, uid, way in ((APP, ALICE, "read"), (WIKI, ALICE, "mmap"), (DESK, ALICE, "read"),
                                        (APP, BOB, "odd"), (APP, ALICE, "sendfile"))]
    outcomes = [one.outcome() for one in readers]
    assert [one["sha256"] for one in outcomes if "odd" not in one] == [model.sha256] * len(readers)
    for origin, uid in ((APP, ALICE), (WIKI, ALICE), (APP, BOB)):
        wait_until_owned(mounted, model, origin, uid)
    assert fetched(server, model) >= 4 * model.size, "the one of app's two readers is not another view"
    wait_until(lambda: disk_use(mounted) < model.size + MIB, "it is stored once")
    assert len(records(mounted, model)) == 1


# ---- who is recorded, and when ---------------------------------------------------------------------

def test_a_part_gives_no_right_to_the_rest(model, server, mount):
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, DESK, model)
    server.mark()
    assert reader.part(path(mounted, APP, model), 0, 64 * KIB)["size"] == 64 * KIB
    part = fetched(server, model)
    assert CHUNK <= part < model.size // 2
    holds_for(lambda: not owned(mounted, model), 0.5, "who has a part of it is no user")
    assert users(mounted, model) == {DESK}
    assert f"{APP}" not in {one["origin"] for one in cli.status(mounted.store)["views"] if one["used"]} or \
        use(mounted, APP)[0] == model.size, "charged for what it opened"
    assert read(mounted, APP, model)["sha256"] == model.sha256
    assert fetched(server, model) >= model.size, "the rest was not fetched"
    wait_until_owned(mounted, model)
    assert users(mounted, model) == {DESK, APP}


@KINDS
def test_it_is_no_user_while_it_fetches(model, server, link, mount, kind):
    mounted = mount(link(server, 2 * MIB), policy=rules())
    cli.ok("add", "--store", mounted.store, model.path)
    reading = reader.Reader("whole", path(mounted, APP, model, kind), "read")
    while reading.running():
        known, running = owned(mounted, model), reading.running()
        assert not (known and running and reading.progress < model.size // 2), "recorded before all was fetched"
        assert not running or len(records(mounted, model)) == 1
    assert reading.outcome()["sha256"] == model.sha256
    wait_until_owned(mounted, model)


@KINDS
def test_a_stat_makes_nobody_a_user(model, server, mount, kind):
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, DESK, model, kind)
    place = path(mounted, APP, model, kind)
    assert os.stat(place).st_size == model.size
    os.close(os.open(place, os.O_PATH))
    holds_for(lambda: not owned(mounted, model), 0.3, "a look is no use")
    server.mark()
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert fetched(server, model) >= model.size


# ---- what can be seen of it ------------------------------------------------------------------------

def looks(mounted, origin, model, kind):
    place = path(mounted, origin, model, kind)
    try:
        st = os.stat(place)
    except OSError as error:
        return error.errno
    fs = os.statvfs(place)  # nothing is opened: that would be a fetch of its own
    attributes = {name: os.getxattr(place, name) for name in os.listxattr(place)}
    return (tuple(getattr(st, name) for name in ("st_ino", "st_size", "st_blocks", "st_blksize", "st_mode", "st_nlink",
                                                 "st_mtime_ns", "st_ctime_ns", "st_uid")),
            (fs.f_blocks, fs.f_bfree, fs.f_files), attributes,
            sorted(os.listdir(view(mounted, origin, ALICE, "hash"))))


@pytest.mark.parametrize("how", ["whole", "part", "add"])
@KINDS
def test_it_looks_the_same_whether_others_have_it(model, server, mount, kind, how):
    """All that there is to see: attributes, extended ones, lists, sizes."""
    mounted = mount(server, policy=rules())
    before = looks(mounted, APP, model, kind)
    if how == "whole":
        read_and_keep(mounted, DESK, model, kind)
    elif how == "part":
        reader.part(path(mounted, DESK, model, "attested"), 0, 4096)
        wait_until(lambda: is_stored(mounted, model), "a part of it is here")
    else:
        cli.ok("add", "--store", mounted.store, model.path)
    assert looks(mounted, WIKI, model, kind) == before
    assert looks(mounted, APP, model, kind) == before
    attributes = before[2]
    assert not {"user.weightfs.state", "user.weightfs.present"} & set(attributes)
    assert attributes == ({"user.weightfs.fsverity": model.fsverity.encode()} if kind == "attested" else
                          {"user.weightfs.digest": model.sha256.encode()})
    everything = reader.calls(path(mounted, APP, model, kind))
    no_digest = {"getxattr"} if kind == "attested" else set()
    assert {call for call, answer in everything.items() if answer} - {"readlink"} == {"chdir", "truncate"} | no_digest


@KINDS
def test_what_no_source_has_does_not_exist(models, server, mount, kind):
    """Although it is here; who fetched it itself while there was a source keeps it."""
    model = models.blob(3 * MIB + 1, f"withdrawn {kind}")
    mounted = mount(server, policy=rules())
    for origin in (DESK, WIKI):
        read_and_keep(mounted, origin, model, kind)
    wait_until_owned(mounted, model, WIKI)
    models.unpublish(model)
    for name in (model.attested, model.unattested, f"sha256:{model.sha256}"):
        place = view(mounted, APP, ALICE, "hash", name)
        assert reader.calls(place) == reader.calls(view(mounted, APP, ALICE, "hash", unknown_digest()))
        assert set(reader.calls(place).values()) == {"ENOENT"}
    for origin in (DESK, WIKI):
        assert read(mounted, origin, model, kind)["sha256"] == model.sha256
    assert is_kept(mounted, model) and not owned(mounted, model)


@KINDS
def test_what_a_source_cannot_say_is_not_taken_from_the_store(model, server, mount, kind):
    """A source that is away is away for a web origin, whatever is here."""
    mounted = mount(server, policy=rules(), fetch={"connect-timeout": "1s"})
    read_and_keep(mounted, DESK, model, kind)
    server.stop()
    here = reader.calls(path(mounted, APP, model, kind))
    nowhere = reader.calls(view(mounted, APP, ALICE, "hash", unknown_digest()))
    assert here == nowhere and 0 not in here.values()
    assert read(mounted, DESK, model, kind)["sha256"] == model.sha256


def test_lists_of_web_origins(models, server, mount):
    theirs, own, common, part = (models.blob(2 * MIB + 3, f"listed {name}") for name in
                                 ("theirs", "own", "common", "part"))
    mounted = mount(server, policy=rules(shared_set(common, part)))
    lists = lambda origin, uid=ALICE: set(os.listdir(view(mounted, origin, uid, "hash")))
    assert lists(APP) == set()
    for model in (theirs, own, common):
        read_and_keep(mounted, DESK, model, "unattested")
    assert lists(APP) == {common.sha256} and lists(DESK) == {model.sha256 for model in (theirs, own, common)}
    read_and_keep(mounted, APP, own, "unattested")
    wait_until_owned(mounted, own)
    assert os.stat(path(mounted, APP, theirs)).st_size == theirs.size
    assert lists(APP) == {common.sha256, own.sha256}
    assert lists(WIKI) == lists(APP, BOB) == {common.sha256}
    # Of a shared one a part is enough, as for local names.
    reader.part(path(mounted, DESK, part), 0, 10)
    wait_until(lambda: is_stored(mounted, part), "a part of it is here")
    assert len(lists(APP)) == 3 and len(lists(WIKI)) == 2
    assert len(lists(APP) & {part.sha256, part.attested}) == 1


# ---- shared sets -----------------------------------------------------------------------------------

@KINDS
def test_of_a_shared_set_nothing_is_fetched_twice(model, server, mount, kind):
    mounted = mount(server, policy=rules(shared_set(model)))
    server.mark()
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert model.size <= fetched(server, model) < 2 * model.size
    wait_until(lambda: is_kept(mounted, model), "it is kept")
    server.mark()
    for origin, uid in ((WIKI, ALICE), (APP, BOB), (DESK, ALICE)):
        assert read(mounted, origin, model, kind, uid)["sha256"] == model.sha256
    assert nothing_is_asked(server)


def test_two_readers_of_a_shared_set_share_what_is_on_its_way(model, server, link, mount):
    mounted = mount(link(server, 10 * MIB), policy=rules(shared_set(model)))
    readers = [reader.Reader("whole", path(mounted, origin, model), "read") for origin in (APP, WIKI)]
    assert [one.outcome()["sha256"] for one in readers] == [model.sha256] * 2
    assert fetched(server, model) < 1.5 * model.size


@KINDS
def test_a_set_that_is_not_shared_any_more(model, server, mount, kind):
    mounted = mount(server, policy=rules(shared_set(model)))
    read_and_keep(mounted, DESK, model, kind)
    server.mark()
    assert read(mounted, WIKI, model, kind)["sha256"] == model.sha256
    assert nothing_is_asked(server)
    wait_until_reloaded(mounted, rules())
    server.mark()
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert fetched(server, model) >= model.size


@KINDS
def test_a_shared_object_that_is_had_did_not_have_to_be_fetched(model, server, mount, kind):
    """To use what others fetched is no fetch of one's own: the right ends with the shared set."""
    mounted = mount(server, policy=rules(shared_set(model)))
    read_and_keep(mounted, DESK, model, kind)
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    wait_until_owned(mounted, model)
    wait_until_reloaded(mounted, rules())
    server.mark()
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    # Nobody learns anything by it that APP did not know: it may go on, or fetch it once.
    assert fetched(server, model) in (0, *range(model.size, 2 * model.size))


# ---- cached ----------------------------------------------------------------------------------------

@KINDS
def test_cached(models, server, mount, kind):
    private, common, own, absent, part = (models.blob(2 * MIB + 7, f"cached {name}") for name in
                                          ("private", "common", "own", "absent", "part"))
    mounted = mount(server, policy=rules(shared_set(common, absent, part)))
    for model in (private, common, own):
        read_and_keep(mounted, DESK, model, kind)
    reader.part(path(mounted, DESK, part), 0, 10)
    read_and_keep(mounted, APP, own, kind)
    wait_until_owned(mounted, own)
    wait_until_reloaded(mounted, rules(shared_set(common, absent, part), app=",cached", wiki=",cached"))
    server.mark()
    for origin, uid, there in ((APP, ALICE, {common, own}), (APP, BOB, {common}), (WIKI, ALICE, {common})):
        for model in (private, common, own, absent, part):
            outcome = reader.whole(path(mounted, origin, model, kind, uid))
            wanted = model.sha256 if model in there else "ENOENT"
            assert wanted in outcome.values(), f"{origin} (uid {uid})"
            if model not in there:
                calls = reader.calls(path(mounted, origin, model, kind, uid))
                assert set(calls.values()) == {"ENOENT"}
    assert nothing_is_asked(server)


# ---- probe budgets ---------------------------------------------------------------------------------

def can_see(mounted, origin, model, uid=ALICE, kind="unattested"):
    """By a look that opens nothing: that would be a fetch."""
    return os.path.exists(path(mounted, origin, model, kind, uid))


@pytest.fixture
def many(models):
    return [models.blob(64 * KIB + number, f"probed {number}") for number in range(6)]


def test_a_probe_budget(models, many, server, mount):
    own, common = models.blob(300 * KIB, "probing, its own"), models.blob(300 * KIB, "probing, in common")
    mounted = mount(server, policy=rules(shared_set(common), app=",probes=3/1h", wiki=""))
    for model in (common, many[0], many[5]):
        read_and_keep(mounted, DESK, model, "unattested")
    assert read(mounted, APP, own)["sha256"] == own.sha256  # the first of three
    wait_until_owned(mounted, own)
    for _ in range(5):
        assert can_see(mounted, APP, many[0]), "the same one again costs nothing"
    assert can_see(mounted, APP, many[1])
    assert not can_see(mounted, APP, many[2]), "the fourth"
    server.mark()
    for model in many[2:] + [common]:
        calls = reader.calls(path(mounted, APP, model))
        assert set(calls.values()) == {"ENOENT"}, f"over it, all is absent, also {model.path}"
    assert nothing_is_asked(server)
    # What it fetched itself stays, and is listed; nobody else is concerned.
    assert read(mounted, APP, own)["sha256"] == own.sha256
    assert os.listdir(view(mounted, APP, ALICE, "hash")) == [own.sha256]
    for origin, uid in ((APP, BOB), (WIKI, ALICE), (DESK, ALICE)):
        assert can_see(mounted, origin, many[3], uid)


def test_names_that_nobody_has_are_probes(many, server, mount):
    mounted = mount(server, policy=rules(app=",probes=3/1h"))
    for seed in range(4):
        calls = reader.calls(view(mounted, APP, ALICE, "hash", unknown_digest(f"probe {seed}")))
        assert set(calls.values()) == {"ENOENT"}
    assert not can_see(mounted, APP, many[0])
    assert can_see(mounted, WIKI, many[0])


def test_a_probe_budget_comes_back(many, server, mount):
    mounted = mount(server, policy=rules(app=",probes=2/3s"))
    assert can_see(mounted, APP, many[0]) and can_see(mounted, APP, many[1])
    assert not can_see(mounted, APP, many[2])
    wait_until(lambda: can_see(mounted, APP, many[3]), "the window has passed", interval=0.5)


# ---- offline ---------------------------------------------------------------------------------------

@KINDS
def test_offline(models, server, mount, kind):
    private, own, common = (models.blob(2 * MIB + 9, f"offline {name}") for name in ("private", "own", "common"))
    mounted = mount(server, policy=rules(shared_set(common)))
    for model in (private, own, common):
        read_and_keep(mounted, DESK, model, kind)
    read_and_keep(mounted, APP, own, kind)
    wait_until_owned(mounted, own)
    mounted.stop()
    mounted = mount(server, policy=rules(shared_set(common)), store=mounted.store, options=["offline"])
    for model in (own, common):
        assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert read(mounted, WIKI, common, kind)["sha256"] == common.sha256
    for origin, model in ((APP, private), (WIKI, private), (WIKI, own)):
        nowhere = reader.calls(view(mounted, origin, ALICE, "hash", unknown_digest()))
        assert reader.calls(path(mounted, origin, model, kind)) == nowhere
        assert 0 not in nowhere.values()
    assert read(mounted, DESK, private, kind)["sha256"] == private.sha256


# ---- quotas ----------------------------------------------------------------------------------------

@pytest.fixture
def four(models):
    return [models.blob(8 * MIB, f"sharing {number}") for number in range(4)]


@KINDS
def test_a_quota_with_fetches_of_its_own(four, server, mount, kind):
    first, second, third, _ = four
    mounted = mount(server, policy=rules(app=",quota=20M"))
    for model in (first, second, third):
        read_and_keep(mounted, DESK, model, kind)
        assert read(mounted, APP, model, kind)["sha256"] == model.sha256
        wait_until_owned(mounted, model)
    wait_until(lambda: use(mounted, APP) == (16 * MIB, 20 * MIB), "two of them fit")
    wait_until(lambda: not owned(mounted, first), "the one that it used longest ago is released")
    assert all(is_kept(mounted, model) for model in (first, second, third)), "it is not the only one who uses it"
    fs = os.statvfs(view(mounted, APP))
    assert (fs.f_blocks * fs.f_frsize, fs.f_bavail * fs.f_frsize) == (20 * MIB, 4 * MIB)
    # And what was released would have to be fetched again.
    server.mark()
    assert read(mounted, APP, first, kind)["sha256"] == first.sha256
    assert fetched(server, first) >= first.size


@KINDS
def test_what_no_one_else_uses_leaves_with_the_quota(four, server, mount, kind):
    mounted = mount(server, policy=rules(app=",quota=20M"))
    for model in four[:3]:
        assert read(mounted, APP, model, kind)["sha256"] == model.sha256
        wait_until_owned(mounted, model)
    wait_until_gone(mounted, four[0])
    wait_until(lambda: disk_use(mounted) <= 16 * MIB + MIB, "nor is anything of it on the disk")


@KINDS
def test_what_does_not_fit_a_quota_is_answered_alike(four, server, mount, kind):
    mounted = mount(server, policy=rules(app=",quota=5M", wiki=",quota=5M"))
    outcome = read(mounted, APP, four[0], kind)
    assert ("errno" in outcome) == (kind == "unattested")
    read_and_keep(mounted, DESK, four[0], kind)
    assert read(mounted, WIKI, four[0], kind) == outcome
    assert users(mounted, four[0]) == {DESK}
    assert use(mounted, APP)[0] == use(mounted, WIKI)[0] == 0


# ---- what happens meanwhile ------------------------------------------------------------------------

@KINDS
def test_rm_during_a_fetch_of_its_own(model, server, link, mount, kind):
    """The others' copy goes; the fetch goes on and is what is stored then."""
    mounted = mount(link(server, 2 * MIB), policy=rules())
    cli.ok("add", "--store", mounted.store, model.path)
    reading = reader.Reader("whole", path(mounted, APP, model, kind), "read")
    wait_until(lambda: apart(mounted) > 0 or not reading.running(),
               "some of it has come")
    assert reading.running()
    cli.ok("rm", "--store", mounted.store, model.sha256)
    assert reading.outcome()["sha256"] == model.sha256
    wait_until_owned(mounted, model)
    assert is_kept(mounted, model) and users(mounted, model) == {APP}
    wait_until(lambda: disk_use(mounted) < model.size + MIB, "it is stored once")
    server.mark()
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert nothing_is_asked(server)


@KINDS
def test_eviction_during_a_fetch_of_its_own(models, model, server, link, mount, kind):
    """The store is too small for the others' copy and this one."""
    mounted = mount(link(server, MIB), policy=rules(), store_keys={"size": "60M"})
    cli.ok("add", "--store", mounted.store, model.path)
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    other = models.blob(24 * MIB, "pushes something out")
    assert read(mounted, DESK, other)["sha256"] == other.sha256
    assert cli.status(mounted.store)["store"]["used"] <= 60 * MIB
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    wait_until(lambda: disk_use(mounted) <= 61 * MIB, "no more than the store may have")


@KINDS
def test_the_daemon_dies_during_a_fetch_of_its_own(model, server, link, mount, kind):
    slow = link(server, 2 * MIB)
    mounted = mount(slow, policy=rules())
    read_and_keep(mounted, DESK, model, kind)
    reading = reader.Reader("whole", path(mounted, APP, model, kind), "read")
    wait_until(lambda: apart(mounted) > 0 or not reading.running(), "some of it has come")
    assert reading.running()
    mounted.crash()
    reading.kill()
    mounted.start()
    wait_until(lambda: disk_use(mounted) < model.size + MIB, "what was fetched apart is not left behind")
    assert users(mounted, model) == {DESK} and len(records(mounted, model)) == 1 and is_kept(mounted, model)
    server.mark()
    assert read(mounted, DESK, model, kind)["sha256"] == model.sha256
    assert nothing_is_asked(server)
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert fetched(server, model) >= model.size // 2, "most of it had not come yet"
    wait_until_owned(mounted, model)


@pytest.mark.parametrize("end", ["stop", "crash"])
@KINDS
def test_what_it_fetched_is_its_own_after_a_restart(model, server, mount, kind, end):
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, DESK, model, kind)
    read_and_keep(mounted, APP, model, kind)
    wait_until_owned(mounted, model)
    getattr(mounted, end)()
    mounted.start()
    assert users(mounted, model) == {DESK, APP}
    server.mark()
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert nothing_is_asked(server)
    assert read(mounted, WIKI, model, kind)["sha256"] == model.sha256
    assert fetched(server, model) >= model.size


@KINDS
def test_a_handle_outlives_the_completion(model, server, mount, kind):
    """What is open before all has come reads on, and so does a mapping."""
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, DESK, model, kind)
    place = path(mounted, APP, model, kind)
    with open(place, "rb") as early:
        assert early.read(CHUNK) == model.read(0, CHUNK)
        pinned = os.open(place, os.O_PATH)
        assert read(mounted, APP, model, kind)["sha256"] == model.sha256
        wait_until_owned(mounted, model)
        assert early.read() == model.read(CHUNK)
        for number in (early.fileno(), pinned):
            with open(f"/proc/self/fd/{number}", "rb") as again:
                again.seek(10 * MIB)
                assert again.read(CHUNK) == model.read(10 * MIB, CHUNK)
        os.close(pinned)
    server.mark()
    assert read(mounted, APP, model, kind)["sha256"] == model.sha256
    assert nothing_is_asked(server)


def test_a_local_name_shares_what_a_web_origin_fetched(model, server, mount):
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, APP, model)
    server.mark()
    assert read(mounted, DESK, model)["sha256"] == model.sha256
    assert nothing_is_asked(server)


def test_explain_knows_who_has_it_by_itself(model, server, mount):
    """`weightfs ls --json` and explain of an object that two users have."""
    mounted = mount(server, policy=rules())
    read_and_keep(mounted, APP, model, "attested")
    wait_until_owned(mounted, model)
    assert read(mounted, APP, model, "attested", BOB)["sha256"] == model.sha256
    wait_until_owned(mounted, model, APP, BOB)
    assert users_and_uids(mounted, model) == {f"{APP} (uid {ALICE})", f"{APP} (uid {BOB})"}
