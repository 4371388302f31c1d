# SPDX-License-Identifier: Apache-2.0
"""Rules that ask: refused until the user says yes, and what the user said holds, whatever happens to the machine."""

import glob
import json
import os
import select
import signal
import socket
import subprocess
import threading

import pytest

from conftest import ALICE, BOB
from harness import cgroups, cli, process, reader
from harness.disk import LOSE_LOG, Disk
from harness.models import unknown_digest
from harness.mount import Booted
from harness.paths import LONG, MIB, SANITIZER, WEIGHTFS
from harness.poll import holds_for, wait_until
from test_rebuild import DAMAGES

WEB, WEB_DIR = "https://app.example.com", "https_app.example.com_0"
OTHER, OTHER_DIR = "https://other.example.com", "https_other.example.com_0"
COUNT = 100000 if LONG else 10000 if SANITIZER else 20000


def asking(*rules):
    """ALICE's and BOB's own origin is `local`; a place in the tree stands for a broker of theirs."""
    return "\n".join(("caller any is local", *rules, f"ask {WEB} to any with list", f"ask {OTHER} to any",
                      "ask translator to any with list", "allow local to any", ""))


class Asked:
    """A mount whose policy asks, and its users."""

    def __init__(self, mounted):
        self.mounted = mounted
        self.open_store()

    def open_store(self):
        os.chmod(self.mounted.store, 0o711)  # the socket lies in the store here

    def restart(self):
        self.mounted.start()
        self.open_store()

    def path(self, name, view=WEB_DIR, uid=ALICE):
        return self.mounted.path("origin", str(uid), view, "hash", name)

    def run(self, *words, uid=ALICE, **kwargs):
        command, *rest = words
        return cli.weightfs(command, "--store", self.mounted.store, *rest, uid=uid, **kwargs)

    def ok(self, *words, uid=ALICE, **kwargs):
        result = self.run(*words, uid=uid, **kwargs)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def listed(self, command, *options, uid=ALICE):
        return [json.loads(line) for line in self.ok(command, "--json", *options, uid=uid).splitlines()]

    def pending(self, **kwargs):
        return self.listed("pending", **kwargs)

    def grants(self, **kwargs):
        return self.listed("grants", **kwargs)

    def opens(self, model, view=WEB_DIR, uid=ALICE):
        """Does it, with all its bytes? Or is it refused as it must be?"""
        got = reader.whole(self.path(model.sha256, view, uid))
        if "errno" in got:
            assert got["errno"] == "EACCES", got
            return False
        assert got["sha256"] == model.sha256
        return True


@pytest.fixture
def asked(server, mount):
    return Asked(mount(server, policy=asking()))


@pytest.fixture
def watcher():
    """Commands that run until the end of the test, or of themselves."""
    started = []

    def start(asked, *words, uid=ALICE, **kwargs):
        command, *rest = words
        args = [WEIGHTFS, command, "--store", asked.mounted.store, *rest]
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        started.append(process.spawn(process.as_user(uid, args), stdout=subprocess.PIPE, text=True, **kwargs))
        return started[-1]

    yield start
    for child in started:
        process.kill_group(child)


class Waiting:
    """A look-up by a process of its own, which waits."""

    def __init__(self, path):
        self.child = reader.Reader("part", path, 0, 1)

    def waits(self):
        return self.child.running()

    def outcome(self):
        return self.child.outcome(60)


# ---- what is refused ---------------------------------------------------------------------------------

@pytest.mark.parametrize("view", [WEB_DIR, "translator"])
def test_present_and_absent_look_alike(small, medium, server, asked, view):
    assert reader.whole(asked.mounted.object(small.sha256))["sha256"] == small.sha256
    server.mark()
    answers = [reader.calls(asked.path(name, view))
               for name in (small.sha256, small.attested, f"sha256-{small.sha256}", medium.sha256,
                            medium.attested, unknown_digest())]
    assert all(answer == answers[0] for answer in answers)
    assert set(answers[0].values()) == {"EACCES"}
    assert not server.requests(probes=True)
    assert reader.listing(asked.path("", view)) == []


def test_a_grant_opens(small, medium, asked):
    assert not asked.opens(small)
    asked.ok("grant", WEB, small.sha256)
    assert asked.opens(small)
    assert not asked.opens(medium)
    assert not asked.opens(small, uid=BOB), "another user"
    assert not asked.opens(small, view=OTHER_DIR), "another origin"
    assert reader.listing(asked.path("")) == [small.sha256]
    assert set(os.listxattr(asked.path(small.sha256))) >= {"user.weightfs.digest"}
    [grant] = asked.grants()
    assert (grant["origin"], grant["digest"], grant["answer"]) == (WEB, small.sha256, "grant")
    assert grant["until"] is None and grant["uid"] == ALICE
    assert asked.grants(uid=BOB) == []
    # By its other name it is not what was granted, whether or not it is here.
    assert reader.whole(asked.path(small.attested))["errno"] == "EACCES"


def test_options_of_the_line_hold(small, medium, server, mount):
    asked = Asked(mount(server, policy=f"caller any is local\nask translator to any with cached\n"
                                       "allow local to any\n"))
    asked.ok("grant", "translator", small.sha256)
    server.mark()
    assert reader.whole(asked.path(small.sha256, "translator"))["errno"] == "ENOENT"
    assert not server.requests(probes=True)
    assert reader.whole(asked.mounted.object(small.sha256))["sha256"] == small.sha256
    assert asked.opens(small, view="translator")
    assert reader.listing(asked.path("", "translator")) == []


def test_deny_and_revoke(small, medium, asked):
    assert not asked.opens(small)
    assert len(asked.pending()) == 1
    asked.ok("deny", WEB, small.sha256)
    assert asked.pending() == [], "answered"
    assert not asked.opens(small)
    assert asked.pending() == [], "not to be asked again"
    assert [grant["answer"] for grant in asked.grants()] == ["deny"]
    asked.ok("grant", WEB, small.sha256)
    assert asked.opens(small)
    with open(asked.path(small.sha256), "rb") as file:
        asked.ok("revoke", WEB, small.sha256)
        for call, answer in reader.calls(asked.path(small.sha256)).items():
            assert answer == "EACCES", call
        assert file.read() == small.read(), "what is open stays open"
    assert asked.grants() == []
    result = asked.run("revoke", WEB, small.sha256)
    assert result.returncode == 1 and "nothing of that was answered" in result.stderr
    for model in (small, medium):
        asked.ok("grant", WEB, model.sha256)
    asked.ok("grant", OTHER, small.sha256)
    asked.ok("revoke", WEB)
    assert not asked.opens(small) and not asked.opens(medium)
    assert asked.opens(small, view=OTHER_DIR)


def test_a_set(folder, models, server, mount):
    first, second, third = (models.blob(MIB + number, "of a set") for number in range(3))
    rules = [f"set ours sha256-{first.sha256} sha256-{second.sha256}", f"set theirs sha256-{second.sha256}"]
    asked = Asked(mount(server, policy=asking(*rules)))
    asked.ok("grant", WEB, "ours")
    assert asked.opens(first) and asked.opens(second) and not asked.opens(third)
    asked.ok("deny", WEB, "theirs")
    assert asked.opens(first) and not asked.opens(second), "no goes before yes"
    asked.ok("grant", WEB, second.sha256)
    assert asked.opens(second), "the object itself goes before its sets"
    asked.ok("revoke", WEB, second.sha256)
    asked.ok("revoke", WEB, "theirs")
    # What the set holds now counts.
    asked.mounted.set_policy(asking(f"set ours sha256-{third.sha256}"))
    wait_until(lambda: asked.opens(third), "the new set holds it")
    assert not asked.opens(first) and not asked.opens(second)
    asked.mounted.set_policy(asking())
    wait_until(lambda: not asked.opens(third), "there is no such set any more")
    result = asked.run("grant", WEB, "ours")
    assert result.returncode == 1 and "no set of that name" in result.stderr
    asked.ok("revoke", WEB, "ours")


def test_wrong_arguments(small, asked):
    for words in (("grant", "not an origin", small.sha256), ("grant", f"{WEB}/path", small.sha256),
                  ("grant", WEB, "sha256-abc"), ("deny", WEB, ""), ("revoke", "any")):
        assert asked.run(*words).returncode == 1, words
    for words in (("grant", WEB), ("grant",), ("grant", "--for", "soon", WEB, small.sha256),
                  ("grant", "--for", "0", WEB, small.sha256), ("deny", "--for", "1d", WEB, small.sha256),
                  ("grant", "--uid", "alice", WEB, small.sha256), ("pending", "more"), ("agent", "more")):
        assert asked.run(*words).returncode == 2, words
    assert asked.grants() == []
    # An origin is the same however it is spelled.
    asked.ok("grant", "HTTPS://App.Example.COM:443", small.sha256)
    assert asked.opens(small)


# ---- who may answer ------------------------------------------------------------------------------------

def test_nobody_answers_for_others(small, asked):
    for words in (("grant", "--uid", str(ALICE), WEB, small.sha256), ("pending", "--uid", str(ALICE)),
                  ("grants", "--uid", str(ALICE)), ("revoke", "--uid", str(ALICE), WEB)):
        result = asked.run(*words, uid=BOB)
        assert result.returncode == 1 and "another user" in result.stderr and not result.stdout
    asked.ok("grant", WEB, small.sha256, uid=BOB)
    assert not asked.opens(small)
    assert [entry["uid"] for entry in asked.pending(uid=0)] == [ALICE]
    assert asked.pending(uid=BOB) == []
    asked.ok("grant", "--uid", str(ALICE), WEB, small.sha256, uid=0)
    assert asked.opens(small)
    assert {grant["uid"] for grant in asked.grants(uid=0)} == {ALICE, BOB}


def test_a_web_origin_does_not_answer(small, server, mount):
    asked = Asked(mount(server, policy=f"caller uid {ALICE} is {WEB}\n" + asking()))
    assert reader.whole(asked.mounted.object(small.sha256), uid=ALICE)["errno"] == "EACCES"
    for words in (("grant", WEB, small.sha256), ("grant", OTHER, small.sha256), ("deny", WEB, small.sha256),
                  ("revoke", WEB), ("grants",), ("pending",)):
        result = asked.run(*words)
        assert result.returncode == 1 and "is a web origin" in result.stderr and not result.stdout
    assert asked.grants(uid=0) == []
    assert reader.whole(asked.mounted.object(small.sha256), uid=ALICE)["errno"] == "EACCES"


class Connections:
    """To the control socket, of several users at once."""

    def __init__(self, asked):
        self.address = os.path.join(asked.mounted.store, "control.sock")
        self.open = []

    def connect(self, uid):
        os.seteuid(uid)
        try:
            one = socket.socket(socket.AF_UNIX)
            one.connect(self.address)
        finally:
            os.seteuid(0)
        self.open.append(one)
        return one

    def watch(self, uid):
        one = self.connect(uid)
        one.sendall(b'{"op":"pending","wait":true}\n')
        return one

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.open:
            one.close()


def answered(connections):
    return select.select(connections, [], [], 0)[0]


def test_other_users_do_not_shut_out_root(asked):
    with Connections(asked) as connections:
        for uid in range(100000, 100012):
            for _ in range(4):
                connections.connect(uid)
        wait_until(lambda: len(answered(connections.open)) == 8, "some are turned away")
        assert asked.run("grants", uid=0).returncode == 0


def test_other_users_do_not_keep_root_from_watching(asked):
    with Connections(asked) as connections:
        watchers = [connections.watch(uid) for uid in range(100000, 100008) for _ in range(2)]
        wait_until(lambda: len(answered(watchers)) == 4, "some are told that there are too many")
        root = connections.watch(0)
        holds_for(lambda: not answered([root]), 0.5, "root waits")


ANSWERS = (("grant", "translator", "0" * 64), ("deny", WEB, "0" * 64), ("revoke", "translator"), ("grants",), ("pending",))


def test_who_has_no_origin_does_not_answer(server, mount):
    asked = Asked(mount(server, policy=f"caller uid {BOB} is local\nask translator to any\n"))
    for words in ANSWERS:
        result = asked.run(*words)
        assert result.returncode == 1 and "no origin" in result.stderr and not result.stdout
    asked.ok("grant", "translator", "0" * 64, uid=BOB)
    asked.ok("grant", "--uid", str(ALICE), "translator", "0" * 64, uid=0)


@pytest.mark.parametrize("line", ["cgroup", "unit"])
def test_a_confined_service_does_not_answer(line, server, mount):
    """By the origin of its cgroup; as a process of its user it would have another one."""
    if not cgroups.hierarchies():
        pytest.skip("no cgroup can be made here")
    made = cgroups.Cgroups(cgroups.hierarchies()[0])
    try:
        path = made.make(made.name("translator.service"))
        which = path if line == "cgroup" else path.lstrip("/")
        asked = Asked(mount(server, policy=f"caller {line} {which} is translator\n" + asking()))

        def run_inside(*words, uid=ALICE):
            command, *rest = words
            return process.run(["sh", "-c", 'echo 0 >"$1"; shift; exec "$@"', "sh", made.procs(path),
                                *process.as_user(uid, [WEIGHTFS, command, "--store", asked.mounted.store, *rest])])

        for words in ANSWERS:
            result = run_inside(*words)
            assert result.returncode == 1 and "confined service" in result.stderr and not result.stdout
        assert asked.grants(uid=0) == []
        assert run_inside("grant", "translator", "0" * 64, uid=0).returncode == 0
        asked.ok("grant", "translator", "0" * 64)
    finally:
        made.remove()


def test_a_no_is_not_evaded_by_the_other_name(small, server, mount):
    names = {"sha256": f"sha256-{small.sha256}", "fsverity": small.attested}
    asked = Asked(mount(server, policy=f"set s {' '.join(names.values())}\ncaller any is local\nask {WEB} to s\n"))
    asked.ok("grant", WEB, "s")
    for name, other in (names.values(), reversed(names.values())):
        asked.ok("deny", WEB, name)
        assert {reader.whole(asked.path(which))["errno"] for which in (name, other)} == {"EACCES"}
        asked.ok("revoke", WEB, name)
    assert reader.whole(asked.path(small.attested))["sha256"] == small.sha256


@pytest.mark.parametrize("words", [("revoke", WEB), ("deny", WEB)], ids=lambda words: words[0])
@pytest.mark.parametrize("file", ["kept", "gone"])
def test_a_no_holds_on_a_full_disk(words, file, small, server, mount, folder):
    place = os.path.join(folder, "full")
    os.mkdir(place)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "none", place], check=True)
    try:
        asked = Asked(mount(server, store=os.path.join(place, "store"), policy=asking()))
        asked.ok("grant", WEB, small.sha256)
        assert asked.opens(small)
        if file == "gone":  # there is nothing to write over
            os.unlink(os.path.join(place, "store", "grants", str(ALICE)))
            os.mkdir(os.path.join(place, "store", "grants", str(ALICE)))
        with open(os.path.join(place, "fill"), "wb", buffering=0) as fill:
            try:
                while fill.write(bytes(4096)):
                    pass
            except OSError:
                pass
        result = asked.run(*words, *([small.sha256] if words[0] == "deny" else []))
        assert not asked.opens(small), result
        if file == "kept":
            assert result.returncode == 0, result.stderr
            asked.mounted.stop()
            os.unlink(os.path.join(place, "fill"))
            asked.restart()
            assert not asked.opens(small)
        else:
            assert result.returncode == 1
        asked.mounted.stop()
    finally:
        subprocess.run(["umount", "-l", place], check=True)


# ---- how long it holds -----------------------------------------------------------------------------------

def test_it_ends(small, medium, asked):
    asked.ok("grant", "--for", "30d", WEB, medium.sha256)
    asked.ok("grant", "--for", "2s", WEB, small.sha256)
    assert asked.opens(small) or asked.grants(), "or that took two seconds"
    # What the kernel remembers ends with it.
    wait_until(lambda: set(reader.calls(asked.path(small.sha256)).values()) == {"EACCES"}, "it is over")
    assert asked.opens(medium)
    [grant] = asked.grants()
    assert grant["digest"] == medium.sha256 and grant["until"] - grant["made"] == 30 * 24 * 3600
    # And it has left the disk.
    path = os.path.join(asked.mounted.store, "grants", str(ALICE))
    wait_until(lambda: small.sha256 not in open(path).read(), "written down")


def refused(path):
    try:
        os.stat(path)
        return False
    except PermissionError:
        return True


@pytest.mark.parametrize("how", ["revoke", "deny", "end"])
def test_what_the_kernel_remembers(small, asked, how):
    """Attributes of a complete object are kept by the kernel: not for longer than the grant holds."""
    path = asked.path(small.sha256, "translator")
    asked.ok("grant", *(["--for", "4s"] if how == "end" else []), "translator", small.sha256)
    assert asked.opens(small, view="translator")
    wait_until(lambda: cli.record_of(asked.mounted.store, small)["state"] == "complete", "complete")
    assert not refused(path)  # on the complete node, with a timeout
    if how != "end":
        asked.ok(how, "translator", small.sha256)
        assert refused(path)
    wait_until(lambda: refused(path), "it is over, and nobody opened it since")


def test_a_restart_keeps_it(small, medium, asked):
    asked.ok("grant", WEB, small.sha256)
    asked.ok("deny", WEB, medium.sha256)
    asked.mounted.stop()
    # Without a daemon the same commands work on the store.
    assert [grant["answer"] for grant in asked.listed("grants", "--uid", str(ALICE), uid=0)] == ["grant", "deny"]
    cli.ok("grant", "--store", asked.mounted.store, "--policy", asked.mounted.policy, "--uid", str(ALICE), OTHER,
           medium.sha256)
    asked.restart()
    assert asked.opens(small) and not asked.opens(medium) and asked.opens(medium, view=OTHER_DIR)
    assert asked.pending() == []


@pytest.mark.parametrize("how", ["answered", "killed"])
def test_killed_right_after_the_command(small, medium, asked, how):
    asked.ok("grant", WEB, medium.sha256)
    asked.ok("revoke", WEB, medium.sha256)
    asked.ok("grant", WEB, small.sha256)
    asked.mounted.crash()
    asked.restart()
    assert asked.opens(small) and not asked.opens(medium)


def test_power_cuts(models, server, folder, mount):
    """What was acknowledged is so after the power was cut, be it an answer or its end."""
    disk = Disk(folder, 256 * MIB)
    try:
        some = [models.blob(4097 + number, "asked, power") for number in range(6)]
        mounted = mount(server, policy=asking(), store=os.path.join(disk.point, "store"), kind=Booted, start=False)
        expected = {}
        for turn in range(6):
            disk.mount()
            mounted.start()
            for model in some:
                assert reader.whole(mounted.path("origin", str(ALICE), WEB_DIR, "hash", model.sha256)).get(
                    "errno") == (None if expected.get(model) == "grant" else "EACCES")
            for number, model in enumerate(some):
                what = ["grant", "deny", "revoke", "grant"][(turn + number) % 4]
                if what == "revoke" and expected.get(model, "revoke") == "revoke":
                    continue
                cli.ok(what, "--store", mounted.store, "--uid", str(ALICE), WEB, model.sha256)
                expected[model] = what
            disk.cut(LOSE_LOG)
            mounted.crash()
            disk.umount()
        assert set(expected.values()) == {"grant", "deny", "revoke"}
    finally:
        for made in [mounted]:
            made.clean_up()
        disk.umount()


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_database(small, medium, asked, how):
    """Neither is an answer lost, nor comes one back that was taken back; nor with the whole table that says so."""
    mounted = asked.mounted
    asked.ok("grant", WEB, small.sha256)
    asked.ok("grant", WEB, medium.sha256)
    assert asked.opens(small) and asked.opens(medium)
    for words in (("revoke", WEB, medium.sha256),):
        mounted.stop()  # a table a session
        asked.restart()
        asked.ok(*words)
    mounted.stop()
    assert glob.glob(os.path.join(mounted.store, "meta", "*.sst"))
    DAMAGES[how](mounted.store)
    start = len(mounted.log())
    asked.restart()
    mounted.wait_for_log("rebuilding it from the object files", start)
    assert asked.opens(small) and not asked.opens(medium)
    assert [grant["digest"] for grant in asked.grants()] == [small.sha256]


def test_damaged_answers(small, medium, asked):
    """Of a file that is not as it was written nothing counts: the user is asked again."""
    asked.ok("grant", WEB, small.sha256)
    asked.ok("grant", WEB, small.sha256, uid=BOB)
    asked.mounted.stop()
    path = os.path.join(asked.mounted.store, "grants", str(ALICE))
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace(small.sha256, medium.sha256))
    asked.restart()
    assert not asked.opens(medium) and not asked.opens(small)
    assert asked.opens(small, uid=BOB), "others' answers are in other files"
    assert f"grants/{ALICE} is damaged" in asked.mounted.log()
    assert os.path.exists(path + ".damaged")
    asked.ok("grant", WEB, small.sha256)
    assert asked.opens(small)


# ---- what is pending ----------------------------------------------------------------------------------------

def test_pending(small, medium, asked):
    assert asked.pending() == []
    for _ in range(3):
        assert not asked.opens(small)
    assert reader.whole(asked.path(medium.attested))["errno"] == "EACCES"
    first, second = asked.pending()
    assert (first["origin"], first["digest"], first["uid"], first["names"]) == (WEB, small.sha256, ALICE, [])
    assert first["count"] >= 3 and first["first"] <= first["last"] and first["size"] is None
    assert second["digest"] == medium.attested and second["serial"] > first["serial"]
    # The store's own size is told to those who may know of it.
    assert reader.whole(asked.mounted.object(small.sha256))["sha256"] == small.sha256
    assert asked.pending()[0]["size"] is None
    assert asked.pending(uid=0)[0]["size"] == small.size
    assert reader.whole(asked.mounted.object(small.sha256), uid=ALICE)["sha256"] == small.sha256
    assert asked.pending()[0]["size"] == small.size
    assert small.sha256 in asked.ok("pending")
    # A policy that does not ask any more leaves nothing to be answered.
    asked.mounted.set_policy("caller any is local\nallow local to any\n")
    wait_until(lambda: asked.pending() == [], "nothing is asked")


def test_a_flood_is_bounded(asked):
    assert reader.whole(asked.path(unknown_digest(), uid=BOB))["errno"] == "EACCES"
    before = asked.mounted.memory_peak()
    folder = asked.path("")
    for number in range(COUNT):
        try:
            os.stat(os.path.join(folder, f"{number:064x}"))
            raise AssertionError("it is not refused")
        except PermissionError:
            pass
    told = asked.pending()
    assert 0 < len(told) <= 128
    assert {int(entry["digest"], 16) for entry in told} == set(range(COUNT - len(told), COUNT)), "the oldest go"
    assert len(asked.pending(uid=BOB)) == 1, "of this view alone"
    assert SANITIZER or asked.mounted.memory_peak() - before < 16 * MIB


def test_watching(small, medium, asked, watcher):
    assert not asked.opens(small)
    child = watcher(asked, "pending", "--watch", "--json")
    assert json.loads(child.stdout.readline())["digest"] == small.sha256
    assert not asked.opens(medium)
    assert json.loads(child.stdout.readline())["digest"] == medium.sha256
    assert not asked.opens(medium, uid=BOB) and not asked.opens(small)
    assert not asked.opens(small, view=OTHER_DIR)
    last = json.loads(child.stdout.readline())
    assert (last["origin"], last["uid"]) == (OTHER, ALICE), "neither what is not new, nor another user's"
    child.send_signal(signal.SIGTERM)  # SIGINT is ignored below a shell's background job
    assert child.wait(20) in (0, -signal.SIGTERM)


def test_few_watch(asked, watcher):
    children = [watcher(asked, "pending", "--watch", stderr=subprocess.PIPE) for _ in range(3)]
    wait_until(lambda: any(child.poll() is not None for child in children), "one is refused")
    [refused] = [child for child in children if child.poll() is not None]
    assert refused.returncode == 1 and "too many watch" in refused.stderr.read()
    assert asked.pending() == [] and asked.pending(uid=0) == [], "others are served"


def test_pull_heeds_answers(small, server, mount):
    asked = Asked(mount(server, policy=f"caller uid {ALICE} is worker\nask worker to any\n"))
    result = asked.run("pull", small.attested)
    assert result.returncode == 1 and "not found" in result.stderr
    asked.ok("grant", "worker", small.attested)
    assert cli.bare(asked.ok("pull", small.attested).strip()) in (small.sha256, small.fsverity)
    asked.ok("revoke", "worker")
    assert asked.run("pull", small.attested).returncode == 1


# ---- waiting ------------------------------------------------------------------------------------------------

def waiting_policy(seconds):
    return f"caller any is local\nask any to any with wait={seconds}s\nallow local to any\n"


@pytest.fixture
def waits(server, mount):
    return lambda seconds=60: Asked(mount(server, policy=waiting_policy(seconds)))


def wait_for_pending(asked, **kwargs):
    return wait_until(lambda: asked.pending(**kwargs), "it is pending")


def test_a_grant_ends_the_wait(small, waits):
    asked = waits()
    waiting = [Waiting(asked.path(small.sha256)) for _ in range(3)]
    wait_for_pending(asked)
    holds_for(lambda: all(one.waits() for one in waiting), 0.3, "they wait")
    asked.ok("grant", WEB, small.sha256)
    assert all("errno" not in one.outcome() for one in waiting)


def test_a_deny_ends_the_wait(small, waits):
    asked = waits()
    waiting = Waiting(asked.path(small.sha256))
    wait_for_pending(asked)
    assert waiting.waits()
    asked.ok("deny", WEB, small.sha256)
    assert waiting.outcome()["errno"] == "EACCES"
    # At once from now on.
    assert reader.part(asked.path(small.sha256), 0, 1)["errno"] == "EACCES"


def test_the_wait_ends(small, waits):
    asked = waits(1)
    assert Waiting(asked.path(small.sha256)).outcome()["errno"] == "EACCES"
    assert len(asked.pending()) == 1


def test_another_policy_ends_the_wait(small, waits):
    asked = waits()
    waiting = Waiting(asked.path(small.sha256))
    wait_for_pending(asked)
    asked.mounted.set_policy("caller any is local\nallow local to any\n")
    assert waiting.outcome()["errno"] == "ENOENT"


def test_others_go_on_while_some_wait(small, medium, waits):
    """More than wait in one view are refused; other names, and other views, are served."""
    asked = waits()
    asked.ok("grant", WEB, small.sha256)
    asked.ok("grant", WEB, medium.sha256, uid=BOB)
    waiting = [Waiting(asked.path(f"{number:064x}")) for number in range(40)]
    try:
        wait_until(lambda: sum(not one.waits() for one in waiting) == 40 - 16, "some are refused")
        assert {one.outcome()["errno"] for one in waiting if not one.waits()} == {"EACCES"}
        assert asked.opens(small)
        assert asked.opens(medium, uid=BOB)
        other = Waiting(asked.path(small.sha256, uid=BOB))
        wait_for_pending(asked, uid=BOB)
        asked.ok("grant", WEB, small.sha256, uid=BOB)
        assert "errno" not in other.outcome()
        # There is room again for those who come later.
        for one in [one for one in waiting if one.waits()][:8]:
            one.child.kill()
        late = Waiting(asked.path(medium.sha256))
        wait_until(lambda: medium.sha256 in {entry["digest"] for entry in asked.pending()}, "it is pending")
        asked.ok("grant", WEB, medium.sha256)
        assert "errno" not in late.outcome()
    finally:
        for one in waiting:
            one.child.kill()


def test_interrupted(small, waits):
    asked = waits()
    waiting = Waiting(asked.path(small.sha256))
    wait_for_pending(asked)
    waiting.child.child.send_signal(signal.SIGTERM)
    waiting.child.child.wait(20)
    asked.mounted.stop()


def test_the_end_of_the_daemon_ends_the_wait(small, waits):
    asked = waits()
    waiting = Waiting(asked.path(small.sha256))
    wait_for_pending(asked)
    process.kill_group(asked.mounted.child)
    assert "errno" in waiting.outcome()
    asked.mounted.crash()
    asked.restart()
    asked.mounted.stop()


# ---- the agent ----------------------------------------------------------------------------------------------

def test_agent(models, waits, watcher, folder):
    asked = waits()
    yes, no, later = (models.blob(5000 + number, "asked by an agent") for number in range(3))
    log = os.path.join(folder, "prompts")
    script = os.path.join(folder, "prompt")
    with open(script, "w") as file:
        file.write(f"echo \"$WEIGHTFS_ORIGIN $WEIGHTFS_DIGEST [$WEIGHTFS_SIZE] [$WEIGHTFS_NAMES]\" >>{log}\n"
                   f"case $WEIGHTFS_DIGEST in {yes.sha256}) exit 0;; {no.sha256}) exit 1;; esac\nexit 3\n")
    with open(log, "w"):
        os.chmod(log, 0o666)
    child = watcher(asked, "agent", "--prompt", f"sh {script}", "--for", "1h")
    waiting = {model: Waiting(asked.path(model.sha256)) for model in (yes, no, later)}
    assert "errno" not in waiting[yes].outcome()
    assert waiting[no].outcome()["errno"] == "EACCES"
    wait_until(lambda: later.sha256 in open(log).read(), "it was asked about")
    assert waiting[later].waits()
    assert [entry["digest"] for entry in asked.pending()] == [later.sha256]
    assert {(grant["digest"], grant["answer"], grant["until"] is None) for grant in asked.grants()} == \
        {(yes.sha256, "grant", False), (no.sha256, "deny", True)}
    assert f"{WEB} {yes.sha256} [] []" in open(log).read()
    # Another user's are none of its business.
    other = Waiting(asked.path(yes.sha256, uid=BOB))
    wait_for_pending(asked, uid=BOB)
    holds_for(lambda: len(open(log).read().splitlines()) == 3, 0.5, "asked about once each")
    asked.ok("deny", WEB, yes.sha256, uid=BOB)
    assert other.outcome()["errno"] == "EACCES"
    waiting[later].child.kill()
    assert child.poll() is None


def test_agent_on_the_terminal(models, asked, watcher):
    some = [models.blob(6000 + number, "asked on the terminal") for number in range(4)]
    child = watcher(asked, "agent", stdin=subprocess.PIPE)
    for model in some:
        assert not asked.opens(model)
    child.stdin.write("what\ny\nn\nlater\n")
    child.stdin.flush()
    wait_until(lambda: len(asked.grants()) == 2, "two are answered")
    assert [asked.opens(model) for model in some] == [True, False, False, False]
    child.stdin.close()
    assert child.wait(20) == 1
    assert f"{WEB} wants to open {some[0].sha256}" in child.stdout.read()


# ---- many at once ---------------------------------------------------------------------------------------------

def test_answers_from_many_at_once(models, asked):
    """No answer is lost beside others; each of them is obeyed as soon as it was given."""
    some = [models.blob(7000 + number, "asked at once") for number in range(4)]
    failures = []

    def turn(model, uid):
        for _ in range(4):
            for what, expected in (("grant", True), ("revoke", False)):
                result = asked.run(what, WEB, model.sha256, uid=uid)
                if result.returncode or asked.opens(model, uid=uid) != expected:
                    failures.append((what, uid, result.stderr))
        asked.run("grant", WEB, model.sha256, uid=uid)

    threads = [threading.Thread(target=turn, args=(model, uid)) for model in some for uid in (ALICE, BOB)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert {grant["digest"] for grant in asked.grants()} == {model.sha256 for model in some}
    assert all(asked.opens(model, uid=uid) for model in some for uid in (ALICE, BOB))
