# SPDX-License-Identifier: Apache-2.0
"""The audit: a line of JSON for each refusal, in a file or in the log; web origins unnamed unless that is asked for."""

import json
import os
import re
import stat

import pytest

from conftest import ALICE, BOB
from harness import cli, reader
from harness.models import unknown_digest
from harness.mount import MountFailed
from harness.poll import wait_until

WEB = "https://app.example.com"
WEB_DIR = "https_app.example.com_0"
ELSEWHERE = "ab" * 32  # no source has it, and no line of the policy names it

POLICY = (f"caller uid {ALICE} is {WEB}\n"
          f"caller uid {BOB} is translator\n"
          "caller any is local\n"
          "set bad {bad}\n"
          "deny any to bad\n"
          "allow any to any with list\n")


@pytest.fixture
def bad():
    return unknown_digest()


@pytest.fixture
def audited(folder, mount, server, bad):
    """A mount with [audit] KEYS; FILE in the test's folder unless they say otherwise."""
    def make(policy=POLICY, start=True, **keys):
        keys.setdefault("file", os.path.join(folder, "audit.log"))
        section = "\n".join(["[audit]"] + [f"{key.replace('_', '-')} = {value}" for key, value in keys.items()])
        return mount(server, section, policy=policy.replace("{bad}", bad), start=start)
    return make


def lines(path):
    try:
        with open(path) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def wait_for_line(path, **members):
    """The first line that has all of MEMBERS."""
    def found():
        for line in lines(path):
            if all(line.get(key) == value for key, value in members.items()):
                return line
    return wait_until(found, f"a line with {members} in the audit")


def refuse(mounted, digest, uid=None):
    assert reader.part(mounted.object(digest), 0, 1, uid=uid) == {"errno": "ENOENT"}


def test_a_refused_lookup(audited, folder, bad, small):
    mounted = audited()
    path = os.path.join(folder, "audit.log")
    refuse(mounted, bad, BOB)
    line = wait_for_line(path, digest=bad)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("pid") > 0
    assert line == {"event": "refused", "operation": "lookup", "uid": BOB, "origin": "translator", "digest": bad,
                    "decision": "deny", "file": os.path.realpath(mounted.policy), "line": 5, "count": 1}
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    # What is merely not there is no refusal, and what opens is none either.
    assert "errno" in reader.part(mounted.object(ELSEWHERE), 0, 1)
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    refuse(mounted, "sha256-" + bad)
    wait_for_line(path, uid=0)
    assert {line["digest"] for line in lines(path)} == {bad}


def test_without_a_line_that_decides(audited, folder, bad):
    mounted = audited(policy="caller any is local\nallow local to {bad}\n")
    refuse(mounted, ELSEWHERE)
    line = wait_for_line(os.path.join(folder, "audit.log"), digest=ELSEWHERE)
    assert "file" not in line and "line" not in line


def test_a_refused_open(audited, folder, small):
    """Looked up before, and revoked since."""
    mounted = audited(policy="caller any is local\nallow local to any\n")
    cli.ok("add", "--store", mounted.store, small.path)
    place = os.open(mounted.object(small.sha256), os.O_PATH)
    mounted.set_policy(f"caller any is local\ndeny local to {small.sha256}\n")

    def refused():
        try:
            os.close(os.open(f"/proc/self/fd/{place}", os.O_RDONLY))
        except FileNotFoundError:
            return True
    wait_until(refused, "it is revoked")
    os.close(place)
    line = wait_for_line(os.path.join(folder, "audit.log"), operation="open")
    assert (line["digest"], line["line"], line["decision"]) == (small.sha256, 2, "deny")


def test_what_has_to_be_granted(audited, folder, small):
    mounted = audited(policy=f"caller any is local\nask local to {small.sha256}\nallow local to any\n")
    assert reader.part(mounted.object(small.sha256), 0, 1) == {"errno": "EACCES"}
    line = wait_for_line(os.path.join(folder, "audit.log"), digest=small.sha256)
    assert (line["decision"], line["line"]) == ("ask", 2)


def test_who_looks_for_too_much(audited, folder):
    mounted = audited(web_origins="yes", policy=f"caller any is {WEB}\nallow {WEB} to any with probes=1/1h\n")
    for digest in ("01" * 32, "02" * 32):
        assert "errno" in reader.part(mounted.object(digest), 0, 1)
    line = wait_for_line(os.path.join(folder, "audit.log"), decision="probes")
    assert (line["digest"], line["origin"]) == ("02" * 32, WEB) and "line" not in line


def test_looking_into_others_views(audited, folder):
    mounted = audited(rate=1000)
    path = os.path.join(folder, "audit.log")
    for uid, guess in ((BOB, f"{ALICE}/{WEB_DIR}"), (BOB, f"{BOB}/local"), (BOB, f"{BOB}/{WEB_DIR}")):
        assert set(reader.calls(mounted.path("origin", guess), uid).values()) == {"ENOENT"}
    line = wait_for_line(path, directory=f"{ALICE}")
    assert (line["uid"], line["origin"], line["decision"]) == (BOB, "translator", "deny")
    wait_for_line(path, directory=f"{BOB}/local")
    # Whose view of the web was guessed is not told.
    wait_until(lambda: any("directory" not in line for line in lines(path)), "the other guess")
    with open(path) as file:
        assert "example.com" not in file.read()
    # What nobody can mean is no refusal.
    before = len(lines(path))
    for nonsense in ("4242x", f"{BOB}/.git", "no-number"):
        assert set(reader.calls(mounted.path("origin", nonsense), BOB).values()) == {"ENOENT"}
    refuse(mounted, ELSEWHERE)
    assert len(lines(path)) == before


@pytest.mark.parametrize("told", [False, True], ids=["unnamed", "named"])
def test_web_origins(audited, folder, bad, told):
    mounted = audited(**({"web_origins": "yes"} if told else {}))
    path = os.path.join(folder, "audit.log")
    refuse(mounted, bad, ALICE)
    line = wait_for_line(path, uid=ALICE)
    assert line["origin"] == (WEB if told else "web")
    assert line.get("digest") == (bad if told else None)
    assert line["line"] == 5
    with open(path) as file:
        text = file.read()
    assert (bad in text) == told and ("example.com" in text) == told


def test_many_are_counted(audited, folder, bad):
    mounted = audited(rate=2)
    path = os.path.join(folder, "audit.log")
    for _ in range(200):
        assert not os.path.exists(mounted.object(bad))

    def all_counted():
        """The next line stands for all before it."""
        assert not os.path.exists(mounted.object(bad))
        return sum(line["count"] for line in lines(path)) > 200
    wait_until(all_counted, "a line that counts the others")
    assert len(lines(path)) < 50
    told = {(m["name"], s["labels"].get("result")): s["value"]
            for m in map(json.loads, cli.ok("metrics", "--json", "--store", mounted.store).splitlines())
            for s in m["samples"]}
    assert told["weightfs_audit_refusals_total", "suppressed"] >= 150
    assert told["weightfs_audit_refusals_total", "written"] == len(lines(path))
    assert told["weightfs_audit_refusals_total", "lost"] == 0


def test_the_file_is_opened_again_on_sighup(audited, folder, bad):
    mounted = audited()
    path = os.path.join(folder, "audit.log")
    refuse(mounted, bad)
    wait_for_line(path, digest=bad)
    os.rename(path, path + ".1")
    mounted.reload()
    wait_until(lambda: os.path.exists(path), "it is there again")
    refuse(mounted, bad, BOB)
    wait_for_line(path, uid=BOB)
    assert len(lines(path + ".1")) == 1


def test_to_the_log_and_to_nowhere(audited, bad):
    mounted = audited(file="log")
    refuse(mounted, bad)
    line = mounted.wait_for_log("audit: ")
    assert json.loads(line[line.index("{"):])["digest"] == bad
    silent = audited(file="none")
    refuse(silent, bad)
    silent.stop()
    assert "audit" not in silent.log()


def test_a_file_that_cannot_be_opened(audited, folder):
    mounted = audited(file="/proc/nowhere/audit.log", start=False)
    with pytest.raises(MountFailed, match="audit: /proc/nowhere"):
        mounted.start()
    mounted.child = None


def test_bad_values_are_named(folder):
    conf = os.path.join(folder, "weightfs.conf")
    for text in ("rate = 0", "rate = fast", "web-origins = perhaps", "file = ~/x", "colour = red"):
        with open(conf, "w") as file:
            file.write(f"[audit]\n{text}\n")
        result = cli.weightfs("mount", "-f", "-o", f"store={folder}/store", conf, folder)
        assert result.returncode == 1 and f"{conf}:2" in result.stderr
