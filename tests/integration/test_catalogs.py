# SPDX-License-Identifier: Apache-2.0
"""Catalogs, from their publisher to the daemon: what is taken, what is refused, and what is kept."""

import json
import os
import random
import subprocess
import sys
import time

import pytest

from harness import cli, process, reader
from harness.catalogs import Catalog, Key, entry, instant
from harness.config import sources_of
from harness.paths import WEIGHTFS
from harness.poll import wait_until
from test_metrics import metrics

ON_DEMAND = {"refresh": "0"}


@pytest.fixture
def publisher(folder, models, nginx):
    """Makes catalogs that lie in a folder of their own, with the models' folders beside them."""
    root = os.path.join(folder, "published")
    os.mkdir(root)
    for name in ("s", "f"):
        os.symlink(os.path.join(models.root, name), os.path.join(root, name))
    server = nginx(root)

    def make(name="hub", **kwargs):
        made = Catalog(os.path.join(folder, "publisher"), root, server.url, name, **{**ON_DEMAND, **kwargs})
        made.server = server
        return made

    return make


def listed(mounted, name="hub"):
    """What `catalog list` says of NAME."""
    lines = [json.loads(line) for line in cli.ok("catalog", "list", "--json", "--store", mounted.store).splitlines()]
    return next(line for line in lines if line.get("name") == name)


def disagreements(mounted):
    return cli.status(mounted.store)["disagreements"]


def serial(mounted, name="hub"):
    return listed(mounted, name).get("serial")


def refresh(mounted, name="hub"):
    """(exit status, what was said of a refusal)."""
    done = cli.weightfs("catalog", "refresh", "--store", mounted.store, name)
    return done.returncode, done.stderr


def refused(mounted, part, name="hub"):
    """One clear line about NAME that has PART in it; what was there stays."""
    before = listed(mounted, name)
    status, said = refresh(mounted, name)
    assert status == 1 and part in said, said
    after = listed(mounted, name)
    assert part in after["problem"], after
    assert [after.get(key) for key in ("here", "serial", "objects")] == \
        [before.get(key) for key in ("here", "serial", "objects")]


def taken(mounted, number, name="hub"):
    assert refresh(mounted, name) == (0, "")
    after = listed(mounted, name)
    assert after["here"] and after["serial"] == number and after["problem"] is None, after


# ---- taking one ------------------------------------------------------------------------------------

def test_first_fetch_by_itself(small, publisher, mount):
    hub = publisher(refresh="1h")
    hub.publish([entry(small, "Qwen/small@1/model.bin")], serial=7, comment="of today")
    mounted = mount(hub.section)
    wait_until(lambda: serial(mounted) == 7, "the catalog has come")
    said = listed(mounted)
    assert said["here"] and not said["expired"] and said["objects"] == 1 and said["names"] == 1
    assert said["key"] == hub.key.id and said["trusted_comment"] == "of today"
    assert abs(said["asked"] - time.time()) < 600 and said["changed"] == said["asked"]
    assert f"catalog      hub: serial 7, 1 object, 1 name, key {hub.key.id}, expires 2099-01-01T00:00:00Z" in \
        cli.ok("status", "--store", mounted.store)
    counted = metrics(mounted)
    assert counted["weightfs_catalog_serial", "hub"] == 7
    assert counted["weightfs_catalog_objects", "hub"] == 1
    assert counted["weightfs_catalog_loaded", "hub"] == 1
    assert counted["weightfs_catalog_expires_seconds", "hub"] == said["expires"]
    assert counted["weightfs_catalog_expired", "hub"] == 0
    assert counted["weightfs_catalog_refresh_failures_total", "hub"] == 0
    # What is kept is what was served, and stock minisign agrees.
    kept = os.path.join(mounted.store, "catalogs", "hub@7.jsonl")
    with open(kept, "rb") as file, open(hub.path, "rb") as original:
        assert file.read() == original.read()
    subprocess.run(["minisign", "-V", "-p", hub.key.public, "-m", kept, "-x", kept.replace("jsonl", "minisig")],
                   check=True, capture_output=True)
    assert os.stat(os.path.dirname(kept)).st_mode & 0o777 == 0o700


def test_not_modified(small, publisher, mount):
    hub = publisher()
    hub.publish([entry(small, "a")])
    mounted = mount(hub.section)
    taken(mounted, 1)
    hub.server.mark()
    taken(mounted, 1)
    assert [(r["uri"], r["status"]) for r in hub.server.requests()] == [("/hub.jsonl", 304)]
    hub.publish([entry(small, "a", "b")], serial=2, legacy=True)
    taken(mounted, 2)
    assert listed(mounted)["names"] == 2
    assert sorted(os.listdir(os.path.join(mounted.store, "catalogs"))) == \
        ["hub.state", "hub@2.jsonl", "hub@2.minisig"]


def test_kept_for_offline(small, publisher, mount):
    hub = publisher()
    hub.publish([entry(small, "a")], serial=3)
    mounted = mount(hub.section)
    taken(mounted, 3)
    mounted.stop()
    hub.server.stop()
    for options in ([], ["offline"]):
        again = mount(hub.section, store=mounted.store, options=options)
        assert serial(again) == 3
        if options:
            assert refresh(again)[1] == "weightfs: offline: no catalog is asked for\n"
        else:
            refused(again, "/hub.jsonl: ")
        again.stop()


def test_without_a_daemon(small, publisher, mount):
    hub = publisher()
    hub.publish([entry(small, "a")], serial=5)
    mounted = mount(hub.section, start=False)
    where = ["--conf", mounted.conf, "--store", mounted.store]
    assert cli.ok("catalog", "refresh", *where) == "hub: up to date\n"
    assert "hub: serial 5, 1 object," in cli.ok("catalog", "list", *where)
    assert cli.weightfs("catalog", "refresh", *where, "attic").returncode == 1


def test_mounting_does_not_wait(publisher, mount):
    hub = publisher(refresh="1h")
    hub.server.pause()
    try:
        mounted = mount(hub.section)  # within the time that mount() waits
        assert listed(mounted)["here"] is False
        mounted.stop()  # nor does the end
    finally:
        hub.server.resume()


# ---- refusing one ----------------------------------------------------------------------------------

def test_serials(small, medium, publisher, mount):
    hub = publisher()
    first = [entry(small, "a")]
    hub.publish(first, serial=10)
    mounted = mount(hub.section)
    taken(mounted, 10)
    hub.publish(first, serial=9)
    refused(mounted, "9")
    hub.publish([entry(small, "a"), entry(medium, "b")], serial=10)
    refused(mounted, "serial 10 again, and it is another file")
    hub.publish([entry(small, "a"), entry(medium, "b")], serial=11)
    taken(mounted, 11)
    # It is remembered when the catalog itself is lost.
    mounted.stop()
    os.unlink(os.path.join(mounted.store, "catalogs", "hub@11.jsonl"))
    mounted.start()
    assert listed(mounted)["here"] is False and "a part of it is missing" in listed(mounted)["problem"]
    hub.publish(first, serial=10)
    refused(mounted, "10")
    hub.publish([entry(small, "a"), entry(medium, "b")], serial=11)
    taken(mounted, 11)


def test_tampered(small, folder, publisher, mount):
    hub = publisher()
    hub.publish([entry(small, "a")], serial=1)
    mounted = mount(hub.section)
    taken(mounted, 1)
    stranger = Key(folder, "stranger")

    def edit(path, old, new):
        with open(path) as file:
            text = file.read()
        assert old in text
        with open(path, "w") as file:
            file.write(text.replace(old, new))

    def published(**kwargs):
        hub.publish([entry(small, "a")], serial=2, comment="the second", **kwargs)

    published()
    edit(hub.path, '"size":', '"size":1')
    refused(mounted, "signature")
    published()
    edit(hub.signature, "the second", "the third")
    refused(mounted, "trusted comment")
    published(key=stranger)
    refused(mounted, stranger.id)
    published(name="attic")
    refused(mounted, "line 1: ")
    published()
    os.unlink(hub.signature)
    refused(mounted, "/hub.jsonl.minisig: HTTP 404")
    published(expires=instant(-10))
    refused(mounted, "line 1: it has expired")
    for name in ("a/../b", "a\u0001b", "/a", "a//b"):
        hub.publish([entry(small, name)], serial=2)
        refused(mounted, "line 2: ")
    published()
    os.truncate(hub.path, os.path.getsize(hub.path) - 1)
    refused(mounted, "signature")
    assert metrics(mounted)["weightfs_catalog_refresh_failures_total", "hub"] == 11
    hub.publish([entry(small, "a")], serial=2)
    taken(mounted, 2)


def test_prefixes_and_rotated_keys(small, folder, publisher, mount):
    hub = publisher(prefix=["Qwen/", "org"])
    hub.publish([entry(small, "Qwen/a", "organisation")], serial=1)
    new = Key(folder, "new")
    section = hub.section + f"\nkey = {new.text}"
    mounted = mount(section)
    taken(mounted, 1)
    hub.publish([entry(small, "Qwen/a", "other/a")], serial=2)
    refused(mounted, "line 2: ")
    hub.publish([entry(small, "Qwen/a")], serial=2, key=new)
    taken(mounted, 2)
    assert listed(mounted)["key"] == new.id
    # The old key is taken away: what it signed is not believed any more, also of what is kept.
    mounted.stop()
    retired = mount(hub.section, store=mounted.store)
    assert listed(retired)["here"] is False and new.id in listed(retired)["problem"]
    result = cli.weightfs("pull", "--store", mounted.store, "hub/Qwen/a")
    assert "catalog hub is not here: " in result.stderr and new.id in result.stderr


def test_a_name_stands_for_one_object(small, medium, publisher, mount):
    hub = publisher()
    hub.publish([entry(small, "Qwen/a@1/x", attested=False, urls=[])], serial=1)
    mounted = mount(hub.section)
    taken(mounted, 1)
    hub.publish([entry(small, "Qwen/a@2/x"), entry(medium, "Qwen/a@1/x")], serial=2)
    refused(mounted, "line 3: Qwen/a@1/x is another object than in serial 1")
    # More may be said of it, it may be gone, and others may come.
    hub.publish([entry(small, "Qwen/a@1/x"), entry(medium, "Qwen/a@2/x")], serial=2)
    taken(mounted, 2)
    hub.publish([entry(medium, "Qwen/a@2/x")], serial=3)
    taken(mounted, 3)


def test_expired(small, publisher, mount):
    hub = publisher()
    hub.publish([entry(small, "a")], serial=1, expires=instant(3))
    mounted = mount(hub.section)
    taken(mounted, 1)
    mounted.wait_for_log("catalog hub has expired: ")
    said = listed(mounted)
    assert said["here"] and said["expired"] and said["serial"] == 1
    assert "EXPIRED" in cli.ok("catalog", "list", "--store", mounted.store)
    assert metrics(mounted)["weightfs_catalog_expired", "hub"] == 1
    taken(mounted, 1)  # not modified: it is still what is served
    mounted.stop()
    mounted.start()
    assert serial(mounted) == 1 and listed(mounted)["expired"]
    hub.publish([entry(small, "a")], serial=2)
    taken(mounted, 2)
    assert not listed(mounted)["expired"]


def test_two_that_disagree(small, medium, publisher, mount):
    hub, attic = publisher(), publisher("attic")
    hub.publish([entry(small, "a"), entry(medium, "b")])
    attic.publish([entry(small, "c", size=small.size + 1), entry(medium, "d", attested=False)])
    mounted = mount(hub.section, attic.section)
    taken(mounted, 1)
    assert disagreements(mounted) == {"count": 0, "some": []}
    taken(mounted, 1, "attic")
    wait_until(lambda: disagreements(mounted)["count"] == 2, "both are counted")
    assert disagreements(mounted)["some"] == [{"digest": small.sha256, "catalog": "hub", "line": 2},
                                              {"digest": small.sha256, "catalog": "attic", "line": 2}]
    assert small.sha256 in cli.ok("status", "--store", mounted.store)
    mounted.wait_for_log("catalogs disagree about 2 objects")
    assert metrics(mounted)["weightfs_catalog_disagreements",] == 2
    attic.publish([entry(medium, "d", attested=False)], serial=2)
    taken(mounted, 2, "attic")
    wait_until(lambda: disagreements(mounted)["count"] == 0, "they agree")


# ---- kill -9 ---------------------------------------------------------------------------------------

def test_killed_while_it_refreshes(small, models, publisher, mount):
    """What is loaded next is whole, and one of those that were published, never older than the one before."""
    hub = publisher(refresh="1s")
    filler = [{"sha256": f"{i:064x}", "size": i, "names": [f"filler/{i}"]} for i in range(3000)]
    dice, seen = random.Random(6), 1
    hub.publish([entry(small, "a"), *filler], serial=1)
    mounted = mount(hub.section)
    taken(mounted, 1)
    for number in range(2, 9):
        hub.publish([entry(small, "a"), *filler], serial=number)
        begun = process.spawn([WEIGHTFS, "catalog", "refresh", "--store", mounted.store],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0, 0.1))  # the moment of the blow
        mounted.crash()
        begun.wait()
        offline = mount(hub.section, store=mounted.store, options=["offline"])
        said = listed(offline)
        assert said["here"] and said["problem"] is None and said["objects"] == 3001, said
        assert seen <= said["serial"] <= number
        seen = said["serial"]
        offline.stop()
        mounted.start()
    taken(mounted, 8)


# ---- the policy ------------------------------------------------------------------------------------

POLICY = """caller any is local
set secret name hub:secret/*
set public name hub:public/*
deny  local to secret
allow local to any with list
"""


def opens(mounted, model):
    return reader.whole(mounted.object(model.unattested)).get("errno") != "ENOENT"


def test_sets_of_the_policy(small, medium, server, publisher, mount):
    hub = publisher()
    mounted = mount(*sources_of(server), hub.section, policy=POLICY)
    # It was never fetched: whatever it may name is denied, and the daemon is there to fetch it.
    assert not opens(mounted, small) and not opens(mounted, medium)
    mounted.wait_for_log(r"policy:2:17: what catalog 'hub' says is not known yet")
    hub.publish([entry(small, "secret/a")])
    taken(mounted, 1)
    wait_until(lambda: opens(mounted, medium), "what it does not name opens")
    assert not opens(mounted, small)
    # The next one names the other.
    hub.publish([entry(small, "secret/a"), entry(medium, "secret/b")], serial=2)
    taken(mounted, 2)
    assert not opens(mounted, medium) and not opens(mounted, small)
    # One in which the set is empty opens nothing, and the policy is loaded all the same.
    hub.publish([entry(small, "open/a")], serial=3)
    taken(mounted, 3)
    mounted.wait_for_log(r"policy:4:16: set 'secret' is empty: 'deny' matches every object")
    assert not opens(mounted, medium) and not opens(mounted, small)
    assert not cli.status(mounted.store)["policy"].get("failed")
    mounted.stop()
    mounted.start()
    assert not opens(mounted, medium) and not opens(mounted, small)
    hub.publish([entry(small, "secret/c")], serial=4)
    taken(mounted, 4)
    wait_until(lambda: opens(mounted, medium), "the next policy is in force")
    # At the next start it is known from the beginning.
    mounted.stop()
    hub.server.stop()
    mounted.start()
    assert opens(mounted, medium) and not opens(mounted, small)
    said = cli.weightfs("explain", "--store", mounted.store, small.unattested).stdout
    assert "deny local to secret" in said


def is_named(mounted, *names):
    return [os.path.exists(mounted.path("name", "hub", name)) for name in names]


def test_kept_back_until_the_policy_has_it(small, medium, publisher, mount):
    """The policy that would deny a new name cannot be loaded: the name does not come without it."""
    hub = publisher()
    first = [entry(small, "public/a"), {"sha256": "cd" * 32, "size": 5, "names": ["secret/a"]}]
    hub.publish(first)
    mounted = mount(hub.section, policy=POLICY)
    taken(mounted, 1)
    assert is_named(mounted, "public/a", "secret/a") == [True, False]
    mounted.set_policy(POLICY + "allow half")
    wait_until(lambda: cli.status(mounted.store)["policy"].get("failed"), "the policy is refused")
    hub.publish(first + [entry(medium, "secret/m", "public/m")], serial=2)
    for _ in range(2):  # the second time it has not changed, and is no more in use
        status, said = refresh(mounted)
        assert status == 1 and "catalog hub: serial 2 is kept back until the policy can be loaded" in said
        assert is_named(mounted, "public/a", "public/m", "secret/a", "secret/m") == [True, False, False, False]
    mounted.wait_for_log("catalog hub: serial 2 is kept back until the policy can be loaded")
    after = listed(mounted)
    assert (after["serial"], after["kept_back"], after["problem"]) == (1, 2, None)
    assert "  kept back  serial 2, until the policy can be loaded\n" in cli.ok("status", "--store", mounted.store)
    # A newer one takes its place, and is no more in use.
    hub.publish(first + [entry(medium, "secret/m", "secret/n")], serial=3)
    assert refresh(mounted)[0] == 1
    assert (listed(mounted)["serial"], listed(mounted)["kept_back"]) == (1, 3)
    # With the next policy it is there, and denied by it.
    mounted.set_policy(POLICY)
    wait_until(lambda: serial(mounted) == 3, "the catalog is in use")
    assert "kept_back" not in listed(mounted)
    assert is_named(mounted, "public/a", "secret/a", "secret/m", "secret/n") == [True, False, False, False]
    assert not opens(mounted, medium)
    taken(mounted, 3)


LOOKER = """
import os, sys
print("looking", flush=True)
while not os.path.exists(sys.argv[2]):
    if os.path.exists(sys.argv[1]):
        print("seen", flush=True)
"""


def test_no_name_before_its_policy(small, medium, publisher, mount, folder):
    """Somebody looks all the time for what a new serial names, while a policy that takes long is loaded."""
    with open(os.path.join(folder, "long"), "w") as file:
        file.writelines(f"{i:064x}\n" for i in range(1 << 18))
    hub = publisher()
    first = [entry(small, "public/a"), {"sha256": "cd" * 32, "size": 5, "names": ["secret/a"]}]
    hub.publish(first)
    mounted = mount(hub.section, policy=f"set long file {folder}/long\n{POLICY}")
    taken(mounted, 1)
    looker = process.spawn([sys.executable, "-c", LOOKER, mounted.path("name", "hub", "secret", "m"),
                            mounted.path("name", "hub", "public", "m")], stdout=subprocess.PIPE, text=True)
    assert looker.stdout.readline() == "looking\n"
    hub.publish([entry(small, "public/a", "public/m"), first[1], entry(medium, "secret/m")], serial=2)
    taken(mounted, 2)
    said, _ = looker.communicate(timeout=60)
    assert said == ""


def test_what_is_asked_for_has_names(small, publisher, mount):
    """Nobody can answer a question about 64 hex digits."""
    hub = publisher()
    hub.publish([entry(small, "org/m/w", "org/n/w")])
    mounted = mount(hub.section, policy="caller any is local\nask https://app.example.com to any with list\n"
                                        "allow local to any\n")
    taken(mounted, 1)
    view = mounted.path("origin", "0", "https_app.example.com_0")
    assert reader.whole(os.path.join(view, "name/hub/org/m/w"))["errno"] == "EACCES"
    told = json.loads(cli.ok("pending", "--json", "--store", mounted.store))
    assert (told["names"], told["size"]) == (["hub/org/m/w", "hub/org/n/w"], small.size)
    assert ": hub/org/m/w, hub/org/n/w\n" in cli.ok("pending", "--store", mounted.store)
