# SPDX-License-Identifier: Apache-2.0
"""explain: what opens and what does not, why, and to whom that is told. Its status is 0 exactly where open(2) succeeds."""

import json
import os
import pwd

import pytest

from conftest import ALICE, BOB, NOBODY
from harness import cli, process, reader
from harness.models import unknown_digest
from harness.poll import wait_until

WEB = "https://app.example.com"
WEB_DIR = "https_app.example.com_0"


@pytest.fixture
def denied(models):
    return models.blob(1 << 20, "explained: denied")


@pytest.fixture
def absent(models):
    return models.blob(1 << 20, "explained: not fetched yet")


@pytest.fixture
def mounted(small, denied, server, mount):
    policy = (f"caller uid {ALICE} is {WEB}\n"                  # 1
              f"caller uid {BOB} is frugal\n"                   # 2
              f"caller uid {NOBODY} is local\n"                 # 3
              "caller uid 0 is local\n"                         # 4
              f"set bad sha256-{denied.sha256}\n"               # 5
              "deny any to bad\n"                               # 6
              "allow frugal to any with cached,quota=20G\n"     # 7
              f"allow {WEB} to any\n"                           # 8
              "allow local to any with list\n")                 # 9
    made = mount(server, policy=policy)
    for model in (small, denied):
        cli.ok("add", "--store", made.store, model.path)
    os.chmod(made.store, 0o711)  # the socket lies in the store here
    return made


def explain(mounted, *args, uid=None, cwd=None):
    """The exit status, and the lines by topic; of several with one topic the last."""
    result = cli.weightfs("explain", "--json", "--store", mounted.store, *args, uid=uid, cwd=cwd)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.returncode, {line["topic"]: line for line in lines}


def opens(mounted, name, uid):
    return "errno" not in reader.part(mounted.object(name), 0, 1, uid=uid)


def where(mounted, line):
    return {"file": os.path.realpath(mounted.policy), "line": line}


# ---- what is said --------------------------------------------------------------------------------------

def test_who_asks_and_what_decides(mounted, small, denied):
    status, told = explain(mounted, small.sha256, uid=NOBODY)
    assert status == 0
    assert told["caller"]["uid"] == NOBODY and told["caller"]["pid"] > 0
    assert told["origin"].items() >= {"origin": "local", **where(mounted, 3)}.items()
    assert told["broker"]["broker"] is False
    assert told["decision"].items() >= {"decision": "allow", **where(mounted, 9)}.items()
    assert told["quota"]["quota"] is None
    assert (told["object"]["name"], told["object"]["state"]) == (small.sha256, "complete")
    # A counter that moves would be a fetch that somebody else makes.
    assert told["source"]["text"] == told["source"]["name"]
    assert "requests" in explain(mounted, small.sha256)[1]["source"]["text"]
    assert told["result"] == {"topic": "result", "text": "it opens", "opens": True, "errno": None}
    status, told = explain(mounted, denied.sha256, uid=NOBODY)
    assert status == 1
    assert told["decision"].items() >= {"decision": "deny", **where(mounted, 6)}.items()
    assert (told["result"]["opens"], told["result"]["errno"]) == (False, "ENOENT")
    assert not {"object", "source", "last error"} & set(told), "of what is denied nothing is told"


def test_every_line_that_was_looked_at(mounted, denied, small):
    """Each with its place and its canonical text; the last one matched."""
    text = cli.weightfs("explain", "--json", "--store", mounted.store, small.sha256).stdout
    lines = [line for line in map(json.loads, text.splitlines()) if line["topic"] == "line"]
    policy = os.path.realpath(mounted.policy)
    assert [(line["file"], line["line"], line["matched"]) for line in lines[:2]] == \
        [(policy, 6, False), (policy, 9, True)]
    assert lines[0]["statement"].split() == ["deny", "any", "to", "bad"]
    text = cli.weightfs("explain", "--store", mounted.store, denied.sha256).stdout
    assert f"{policy}:6: deny" in text and f"{policy}:9" not in text


def test_the_status_is_what_open_says(mounted, small, denied, absent):
    for uid in (NOBODY, BOB, ALICE, 0):
        for name in (small.sha256, small.attested, denied.sha256, absent.sha256):
            status, told = explain(mounted, name, uid=uid)
            # To a web origin and to `cached` only the policy is told, which does not know what is here.
            if told["result"]["text"] == "the policy lets it open":
                assert uid in (ALICE, BOB)
                continue
            assert (status == 0) == opens(mounted, name, uid), (uid, name, told["result"])


def test_offline_and_cached(mounted, small, absent):
    status, told = explain(mounted, "--uid", str(BOB), absent.sha256)
    assert (status, told["result"]["errno"]) == (1, "ENOENT")
    assert told["quota"]["quota"] == 20 << 30
    status, told = explain(mounted, "--uid", str(BOB), small.sha256)
    assert status == 0
    mounted.stop()
    at = mounted.command.index("-o") + 1
    mounted.command[at] += ",offline"
    mounted.start()
    status, told = explain(mounted, absent.sha256)
    assert (status, told["result"]["errno"]) == (1, "ENOENT") and "offline" in told
    status, told = explain(mounted, small.sha256)
    assert status == 0


def test_what_has_to_be_granted(small, mount, server):
    mounted = mount(server, policy=f"caller any is local\nask local to {small.sha256}\nallow local to any\n")
    status, told = explain(mounted, small.sha256)
    assert (status, told["decision"]["decision"], told["result"]["errno"]) == (1, "ask", "EACCES")
    assert told["grants"]["answer"] is None
    cli.ok("grant", "--store", mounted.store, "--for", "1h", "local", small.sha256)
    status, told = explain(mounted, small.sha256)
    assert (status, told["grants"]["answer"], told["result"]["opens"]) == (0, "grant", True)
    assert 3500 < told["grants"]["seconds"] <= 3600
    cli.ok("deny", "--store", mounted.store, "local", small.sha256)
    status, told = explain(mounted, small.sha256)
    assert (status, told["grants"]["answer"], told["result"]["errno"]) == (1, "deny", "EACCES")
    assert "said no" in told["result"]["text"]


def test_a_web_origin_shares_what_is_shared(small, denied, mount, server):
    mounted = mount(server, policy=f"caller uid {ALICE} is {WEB}\ncaller any is local\nset public {small.sha256} shared\n"
                                   f"allow {WEB} to any with probes=1/1h\nallow local to any\n")
    for model in (small, denied):
        cli.ok("add", "--store", mounted.store, model.path)
    told = explain(mounted, "--as", WEB, "--uid", str(ALICE), small.sha256)[1]
    assert "sharing" not in told and told["result"]["text"] == "it opens"
    told = explain(mounted, "--as", WEB, "--uid", str(ALICE), denied.sha256)[1]
    assert told["sharing"]["apart"] is True and "if a source has it" in told["result"]["text"]
    assert told["probes"]["probes"] == 1 and "used up" not in told["probes"]["text"]
    assert reader.whole(mounted.object(denied.sha256), uid=ALICE)["sha256"] == denied.sha256
    wait_until(lambda: explain(mounted, "--as", WEB, "--uid", str(ALICE), denied.sha256)[1]["sharing"]["apart"] is False,
               "it has fetched it itself")
    # Of all that the view itself is told nothing.
    os.chmod(mounted.store, 0o711)
    told = explain(mounted, denied.sha256, uid=ALICE)[1]
    assert not {"sharing", "object", "also", "source"} & set(told)


def test_brokers_ask_for_their_own_user(small, mount, server):
    """Of whatever origin; of its state no more than the view would tell."""
    mounted = mount(server, policy=f"broker uid {BOB}\ncaller any is local\n"
                                   f"allow {WEB} to any with quota=20G\nallow other to any\n")
    cli.ok("add", "--store", mounted.store, small.path)
    os.chmod(mounted.store, 0o711)
    status, told = explain(mounted, "--as", WEB, small.sha256, uid=BOB)
    assert status == 0 and told["broker"].items() >= {"broker": True, **where(mounted, 1)}.items()
    assert told["decision"].items() >= where(mounted, 3).items() and told["quota"]["quota"] == 20 << 30
    assert not {"object", "source", "last error", "also"} & set(told)
    assert "object" in explain(mounted, "--as", "other", small.sha256, uid=BOB)[1]
    # By where the view lies, too, which the view itself tells root alone.
    folder = mounted.path("origin", str(BOB), "https_app.example.com_0")
    for path, base in (("hash/" + small.sha256, True), ("hash", True), ("name/none/x", False)):
        status, by_path = explain(mounted, os.path.join(folder, path), uid=BOB)
        assert by_path["origin"]["origin"] == WEB and status == (0 if base else 1)
    for args in (["--as", "other"], ["--as", WEB]):
        assert cli.weightfs("explain", "--store", mounted.store, *args, small.sha256, uid=ALICE).returncode == 1
    result = cli.weightfs("explain", "--store", mounted.store, "--uid", str(ALICE), small.sha256, uid=BOB)
    assert result.returncode == 1 and "another user" in result.stderr


# ---- as whom -------------------------------------------------------------------------------------------

def test_as_another_origin(mounted, small, denied):
    status, told = explain(mounted, "--as", WEB, small.sha256)
    assert status == 0 and told["origin"]["origin"] == WEB
    assert told["decision"].items() >= where(mounted, 8).items()
    assert told["object"]["state"] == "complete", "root may know"
    status, told = explain(mounted, "--as", "HTTPS://App.Example.Com:443", denied.sha256)
    assert status == 1 and told["origin"]["origin"] == WEB
    # What no caller line gives is asked about all the same: a broker may bring it.
    status, told = explain(mounted, "--as", "https://other.example", small.sha256)
    assert (status, told["decision"]["text"]) == (1, "deny (no line matches)")


@pytest.mark.parametrize("uid", [ALICE, BOB, NOBODY])
def test_others_do_not_ask_for_others(mounted, small, uid):
    own = {ALICE: WEB, BOB: "frugal", NOBODY: "local"}[uid]
    for args in (["--as", own], []):
        status, told = explain(mounted, *args, small.sha256, uid=uid)
        assert status == 0 and told["origin"]["origin"] == own
    for args in (["--as", "https://other.example"], ["--as", "translator"], ["--uid", "0"], ["--uid", "12345"]):
        result = cli.weightfs("explain", "--store", mounted.store, *args, small.sha256, uid=uid)
        assert result.returncode == 1 and "only for root" in result.stderr
        assert "result" not in result.stdout and small.sha256 not in result.stdout
    assert explain(mounted, "--uid", str(uid), small.sha256, uid=uid)[0] == 0


def test_as_another_user(mounted, small):
    status, told = explain(mounted, "--uid", str(ALICE), small.sha256)
    assert status == 0 and (told["caller"]["uid"], told["origin"]["origin"]) == (ALICE, WEB)
    assert "pid" not in told["caller"]
    status, told = explain(mounted, "--uid", "4242", small.sha256)
    assert (status, told["origin"]["origin"], told["result"]["errno"]) == (1, "none", "ENOENT")
    entry = pwd.getpwnam("daemon")
    told = explain(mounted, "--uid", str(entry.pw_uid), small.sha256)[1]
    assert told["caller"]["gid"] == entry.pw_gid and entry.pw_gid in told["caller"]["groups"]


def test_use_is_told_of_the_view_that_is_meant(mounted, small):
    assert reader.whole(mounted.object(small.sha256), uid=ALICE)["sha256"] == small.sha256
    told = explain(mounted, "--uid", str(ALICE), small.sha256)[1]
    assert (told["quota"]["used"], told["quota"]["objects"]) == (small.size, 1)
    assert explain(mounted, "--uid", str(ALICE), "--as", "local", small.sha256)[1]["quota"]["used"] == 0
    assert explain(mounted, small.sha256, uid=ALICE)[1]["quota"]["used"] == small.size


# ---- what is meant -------------------------------------------------------------------------------------

def test_paths(mounted, small, folder, denied):
    """With and without a slash, by links, of a folder; each as the view that it is in."""
    path = mounted.object(small.sha256)
    link = os.path.join(folder, "model")
    os.symlink(path, link)
    for target, cwd in ((path, None), (link, None), ("model", folder), (small.sha256, mounted.path("hash")),
                        (f"hash/{small.sha256}", mounted.point)):
        result = cli.weightfs("explain", "--json", target, cwd=cwd)
        last = json.loads(result.stdout.splitlines()[-1])
        assert (result.returncode, last["opens"]) == (0, True), (target, result.stderr)
        assert small.sha256 in result.stdout
    web = mounted.path("origin", str(ALICE), WEB_DIR, "hash")
    status, told = explain(mounted, f"{web}/{denied.sha256}")
    assert (status, told["origin"]["origin"], told["caller"]["uid"]) == (1, WEB, ALICE)
    # A folder: as whom one is looked at there.
    for target, cwd in ((web, None), (os.path.basename(mounted.point), os.path.dirname(mounted.point))):
        result = cli.weightfs("explain", target, cwd=cwd)
        assert result.returncode == 0 and "origin" in result.stdout and "decision" not in result.stdout
    assert WEB in cli.ok("explain", web)


def test_what_is_no_path_and_no_digest(mounted, folder, small):
    for target in ("no-such", os.path.join(folder, "no-such"), "/etc/passwd", "/etc",
                   os.path.join(mounted.folder, small.sha256)):
        result = cli.weightfs("explain", target, cwd=folder)
        assert (result.returncode, result.stdout) == (1, "") and result.stderr, target


@pytest.mark.parametrize("args", [["--as", "ftp://x"], ["--as", ""], ["--uid", "alice"], ["--uid", "-1"],
                                  ["--uid", "4294967295"], ["--uid", "1K"], ["--uid"], ["--who", "x"]])
def test_usage(args):
    result = cli.weightfs("explain", *args, unknown_digest())
    assert result.returncode == 2 and result.stderr


def test_nothing_is_fetched_by_it(mounted, absent, server):
    """Nor is a source asked for what nobody knows."""
    server.mark()
    explain(mounted, absent.sha256)
    explain(mounted, mounted.object(unknown_digest()))
    assert not server.requests(probes=True)
    assert process.run(["ls", mounted.path("hash")], check=True).stdout.split().count(absent.sha256) == 0
