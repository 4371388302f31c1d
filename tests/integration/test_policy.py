# SPDX-License-Identifier: Apache-2.0
"""Who sees what: rules, origins, views, and that a denied object is one that does not exist."""

import os
import re

import pytest

from conftest import ALICE, BOB, NOBODY
from harness import cli, reader
from harness.models import unknown_digest
from harness.mount import MountFailed
from harness.paths import MIB, TOP
from harness.poll import wait_until

WEB = "https://app.example.com"
WEB_DIR = "https_app.example.com_0"


def denying(model):
    return (f"caller any is local\n"
            f"set    bad sha256-{model.sha256}\n"
            f"deny   local to bad\n"
            f"allow  local to any with list\n")


ALLOW_ALL = "caller any is local\nallow local to any with list\n"
BROKEN = "caller any is local\nallow local to any with list\nallow local unto any\n"

TWO_ORIGINS = (f"caller uid {ALICE} is {WEB}\n"
               f"caller uid {BOB} is translator\n"
               f"caller any is local\n"
               f"allow {WEB} to any with list\n"
               f"allow translator to any with list\n"
               f"allow local to any with list\n")


@pytest.mark.parametrize("uid", [0, NOBODY], ids=["root", "nobody"])
@pytest.mark.parametrize("spelling", ["{}", "sha256-{}", "sha256:{}"])
def test_denied_is_unknown(models, small, server, mount, spelling, uid):
    """Also when it is in the store: every call answers the same for both."""
    denied = models.blob(3 * MIB, "denied")
    mounted = mount(server)
    assert reader.whole(mounted.object(denied.sha256))["sha256"] == denied.sha256
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    mounted.stop()
    server.mark()
    mounted = mount(server, store=mounted.store, policy=denying(denied))
    there = mounted.object(spelling.format(denied.sha256))
    nowhere = mounted.object(spelling.format(unknown_digest()))
    answers = reader.calls(there, uid)
    assert answers == reader.calls(nowhere, uid)
    assert set(answers.values()) == {"ENOENT"}
    assert not [r for r in server.requests(probes=True) if denied.sha256 in r["uri"]]
    assert reader.listing(mounted.path("hash"), uid) == [small.sha256]


def test_denied_by_its_other_name(models, small, server, mount):
    """The fs-verity name of a stored object leads to the same rules."""
    denied = models.blob(3 * MIB, "denied")
    mounted = mount(server)
    reader.whole(mounted.object(denied.sha256))
    mounted.stop()
    mounted = mount(server, store=mounted.store, policy=denying(denied))
    assert set(reader.calls(mounted.object(denied.attested)).values()) == {"ENOENT"}


def test_a_deny_line_holds_while_the_sha256_is_not_known(models, small, server, mount):
    """An object named by its fs-verity digest alone might be the denied one."""
    denied = models.blob(3 * MIB, "denied")
    mounted = mount(server, policy=denying(denied))
    assert set(reader.calls(mounted.object(denied.attested)).values()) == {"ENOENT"}
    assert set(reader.calls(mounted.object(small.attested)).values()) == {"ENOENT"}
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    assert not [r for r in server.requests(probes=True) if denied.fsverity in r["uri"]]


def test_nothing_is_allowed_without_a_rule(small, server, mount):
    mounted = mount(server, policy="caller any is local\n")
    assert set(reader.calls(mounted.object(small.sha256)).values()) == {"ENOENT"}
    assert not server.requests(probes=True)


def test_a_caller_without_an_origin_sees_nothing(small, server, mount):
    mounted = mount(server, policy=f"caller uid {ALICE} is local\nallow local to any with list\n")
    assert reader.whole(mounted.object(small.sha256), uid=ALICE)["sha256"] == small.sha256
    assert reader.whole(mounted.object(small.sha256), uid=BOB)["errno"] == "ENOENT"


def test_list_shows_objects_only_to_whom_it_should(small, server, mount):
    policy = (f"caller uid {ALICE} is listing\ncaller any is local\n"
              f"allow listing to any with list\nallow local to any\n")
    mounted = mount(server, policy=policy)
    for uid in (ALICE, NOBODY):
        assert reader.whole(mounted.object(small.sha256), uid=uid)["sha256"] == small.sha256
    assert reader.listing(mounted.path("hash"), ALICE) == [small.sha256]
    assert reader.listing(mounted.path("hash"), NOBODY) == []


def test_cached_opens_what_is_here_and_fetches_nothing(models, small, server, mount):
    other = models.blob(2 * MIB, "cached")
    policy = (f"caller uid {ALICE} is frugal\ncaller any is local\n"
              f"allow frugal to any with cached\nallow local to any\n")
    mounted = mount(server, policy=policy)
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    server.mark()
    assert reader.whole(mounted.object(small.sha256), uid=ALICE)["sha256"] == small.sha256
    assert "errno" in reader.whole(mounted.object(other.sha256), uid=ALICE)
    assert not server.requests(probes=True)


def test_a_set_from_a_file(folder, models, small, server, mount):
    other = models.blob(2 * MIB, "in no set")
    path = os.path.join(folder, "list")
    with open(path, "w") as file:
        file.write(f"# comment\n{small.sha256}\n")
    mounted = mount(server, policy=f"caller any is local\nset ours file {path}\nallow local to ours\n")
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    assert reader.whole(mounted.object(other.sha256))["errno"] == "ENOENT"


# ---- reloading -------------------------------------------------------------------------------------

def test_a_broken_policy_keeps_the_daemon_from_starting(server, mount):
    mounted = mount(server, policy=BROKEN, start=False)
    with pytest.raises(MountFailed) as failure:
        mounted.start()
    assert re.search(rf"{re.escape(mounted.policy)}:3:\d+: ", str(failure.value))
    assert mounted.child.returncode == 1
    mounted.child = None


def test_sighup_with_a_broken_policy_keeps_the_old_one(models, small, server, mount):
    denied = models.blob(3 * MIB, "denied")
    mounted = mount(server, policy=denying(denied))
    mounted.set_policy(BROKEN)
    mounted.wait_for_log(rf"{re.escape(mounted.policy)}:3:\d+: ")
    assert set(reader.calls(mounted.object(denied.sha256)).values()) == {"ENOENT"}
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    assert mounted.alive()


def test_sighup_with_a_good_policy_takes_effect_for_new_opens(models, server, mount):
    model = models.blob(3 * MIB, "reload")
    mounted = mount(server, policy=denying(model))
    path = mounted.object(model.sha256)
    assert reader.whole(path)["errno"] == "ENOENT"
    mounted.set_policy(ALLOW_ALL)
    wait_until(lambda: "errno" not in reader.whole(path), "allowed after the reload")
    with open(path, "rb") as old:
        mounted.set_policy(denying(model))
        wait_until(lambda: reader.part(path, 0, 1).get("errno") == "ENOENT",
                   "denied after the second reload")
        assert old.read() == model.read(), "what is open stays open"


# ---- views -----------------------------------------------------------------------------------------

def test_the_symlink_leads_each_caller_to_its_own_view(small, server, mount):
    mounted = mount(server, policy=TWO_ORIGINS)
    link = mounted.path("hash")
    views = {ALICE: f"origin/{ALICE}/{WEB_DIR}/hash", BOB: f"origin/{BOB}/translator/hash",
             0: "origin/0/local/hash", NOBODY: f"origin/{NOBODY}/local/hash"}
    for _ in range(2):  # nothing of an answer is kept for another caller
        for uid, view in views.items():
            assert reader.readlink(link, uid) == view
    for uid in views:
        assert reader.whole(mounted.object(small.sha256), uid=uid)["sha256"] == small.sha256


def test_views_by_their_path(small, server, mount):
    mounted = mount(server, policy=TWO_ORIGINS)
    for uid, view in ((ALICE, WEB_DIR), (BOB, "translator"), (NOBODY, "local")):
        path = mounted.path("origin", str(uid), view, "hash", small.sha256)
        assert reader.whole(path, uid=uid)["sha256"] == small.sha256
        assert reader.whole(path)["sha256"] == small.sha256, "root may look into any"


def test_the_views_of_others_are_not_there(small, server, mount):
    mounted = mount(server, policy=TWO_ORIGINS)
    for uid, path in ((ALICE, f"{BOB}"), (ALICE, "0"), (BOB, f"{ALICE}/{WEB_DIR}/hash"),
                      (ALICE, f"{ALICE}/translator"), (NOBODY, "4242"), (NOBODY, "no-number"),
                      (ALICE, f"0{ALICE}"), (ALICE, f"{ALICE}/https_app.example.com_443")):
        assert set(reader.calls(mounted.path("origin", path), uid).values()) == {"ENOENT"}, path
    # And once its owner has been there, that is not found in a cache either.
    own = mounted.path("origin", str(BOB), "translator", "hash", small.sha256)
    assert reader.whole(own, uid=BOB)["sha256"] == small.sha256
    assert set(reader.calls(own, ALICE).values()) == {"ENOENT"}
    assert reader.whole(own, uid=BOB)["sha256"] == small.sha256


def test_a_mount_for_one_origin(small, server, mount):
    mounted = mount(server, policy=TWO_ORIGINS, options=[f"origin={WEB}"])
    root = os.listdir(mounted.point)
    assert "hash" in root and "origin" not in root
    assert os.path.isdir(mounted.path("hash")) and not os.path.islink(mounted.path("hash"))
    assert set(reader.calls(mounted.path("origin")).values()) == {"ENOENT"}
    for uid in (0, ALICE, NOBODY):
        assert reader.whole(mounted.object(small.sha256), uid=uid)["sha256"] == small.sha256


def test_a_mount_for_an_origin_that_may_nothing(small, server, mount):
    mounted = mount(server, policy=TWO_ORIGINS, options=["origin=https://evil.example"])
    assert set(reader.calls(mounted.object(small.sha256)).values()) == {"ENOENT"}


@pytest.mark.parametrize("origin", ["https://App.example.com/path", "ftp://x", "", "any", "no space"])
def test_a_mount_for_what_is_no_origin(server, mount, origin):
    mounted = mount(server, options=[f"origin={origin}"], start=False)
    with pytest.raises(MountFailed):
        mounted.start()
    assert mounted.child.returncode in (1, 2)
    mounted.child = None


def test_state_is_not_told_to_web_origins(small, server, mount):
    mounted = mount(server, policy=TWO_ORIGINS)
    for uid in (ALICE, BOB):
        reader.whole(mounted.object(small.sha256), uid=uid)
    web = mounted.path("origin", str(ALICE), WEB_DIR, "hash", small.sha256)
    local = mounted.path("origin", str(BOB), "translator", "hash", small.sha256)
    common = {"user.weightfs.digest", "user.weightfs.fsverity"}
    assert set(os.listxattr(web)) == common
    assert set(os.listxattr(local)) == common | {"user.weightfs.state", "user.weightfs.present"}
    with pytest.raises(OSError) as failure:
        os.getxattr(web, "user.weightfs.state")
    assert failure.value.errno == 61  # ENODATA


# ---- the command -----------------------------------------------------------------------------------

@pytest.fixture
def rules(folder):
    def write(text):
        path = os.path.join(folder, "rules")
        with open(path, "w") as file:
            file.write(text)
        return path
    return write


def test_policy_check(rules):
    assert cli.weightfs("policy", "check", rules(TWO_ORIGINS)).returncode == 0
    path = rules(BROKEN)
    result = cli.weightfs("policy", "check", path)
    assert result.returncode == 1
    assert re.search(rf"{re.escape(path)}:3:\d+: ", result.stderr)
    assert cli.weightfs("policy", "check", path + "-none").returncode == 1


def test_policy_test(rules, small):
    path = rules(denying(small))
    other = unknown_digest()
    result = cli.weightfs("policy", "test", path, "local", small.sha256)
    assert (result.returncode, result.stdout.strip()) == (1, f"deny {path}:3")
    result = cli.weightfs("policy", "test", path, "local", other)
    assert (result.returncode, result.stdout.strip()) == (0, f"allow {path}:4 with list")
    result = cli.weightfs("policy", "test", path, WEB, other)
    assert (result.returncode, result.stdout.strip()) == (1, "deny (no rule matches)")
    assert cli.weightfs("policy", "test", path, "local", "no-digest").returncode in (1, 2)
    assert cli.weightfs("policy", "test", path, "local").returncode == 2


ASKING = """\
set   public file list shared
set   gone file nowhere shared
set   named name hub:Qwen/* shared
ask   site:https://example.com to public with wait=60s,quota=1G,probes=16/1m
allow local to any
"""


def test_policy_asks_and_shares(rules, folder, small):
    path = rules(ASKING)
    with open(os.path.join(folder, "list"), "w") as file:
        file.write(f"// ===BEGIN SHA-256===\n{small.sha256}\n// ===END SHA-256===\n")
    result = cli.weightfs("policy", "test", path, "https://app.example.com:8443", small.sha256)
    assert result.returncode == 1
    assert result.stdout == f"ask {path}:4 with wait=1m,quota=1073741824,probes=16/1m, shared\n"
    result = cli.weightfs("policy", "test", path, "local", small.sha256)
    assert (result.returncode, result.stdout) == (0, f"allow {path}:5, shared\n")
    # What is missing is said, and is no error, unless it should be denied.
    result = cli.weightfs("policy", "check", path)
    assert result.returncode == 0
    assert f"{path}:2:17: {folder}/nowhere: No such file" in result.stderr
    assert f"{path}:3:18: no catalog is called 'hub'" in result.stderr
    result = cli.weightfs("policy", "check", rules(ASKING + "deny any to gone\n"))
    assert result.returncode == 1
    assert f"{path}:6:13: 'deny' cannot do without set 'gone'" in result.stderr


def test_policy_print(rules, folder, small):
    path = rules("include more\nbroker uid 7\nallow https://*.Example.com:443 to s,any with list\n")
    with open(os.path.join(folder, "more"), "w") as file:
        file.write(f"set s sha256:{small.sha256} shared\ncaller any is local\n")
    result = cli.weightfs("policy", "print", path)
    assert result.returncode == 0
    assert result.stdout == (f"caller any is local\nbroker uid 7\nset s {small.sha256} shared\n"
                             "allow https://*.example.com to any,s with list\n")
    again = cli.weightfs("policy", "print", rules(result.stdout))
    assert again.stdout == result.stdout
    assert cli.weightfs("policy", "print", rules(BROKEN)).returncode == 1


def test_the_sample_is_right():
    sample = os.path.join(TOP, "dist", "policy.sample")
    assert cli.weightfs("policy", "check", sample).returncode == 0
