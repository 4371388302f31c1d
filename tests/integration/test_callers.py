# SPDX-License-Identifier: Apache-2.0
"""Who asks: cgroups and units, threads that act for others, foreign namespaces, brokers, and processes by the thousand."""

import json
import os
import signal
import subprocess
import time

import pytest

from conftest import ALICE, BOB
from harness import cgroups as cgroups_module, cli, process, reader
from harness.actor import Actor, child_of, children_of
from harness.mount import Mount, MountFailed
from harness.paths import LONG, SANITIZER, SOON, WEIGHTFS
from harness.policymodel import VIEW

BUILT = os.path.join(os.path.dirname(WEIGHTFS), "tests", "tools")
STORM, VIEWS = os.path.join(BUILT, "storm"), os.path.join(BUILT, "store-views")

NOWHERE = "origin/none/hash"
OBEYED_S = 0.1  # after a change, as it is promised


# ---- the scene -------------------------------------------------------------------------------------

@pytest.fixture(params=cgroups_module.hierarchies() or [None], ids=lambda path: path and os.path.basename(path))
def cgroups(request):
    if not request.param:
        pytest.skip("no cgroup can be made here")
    made = cgroups_module.Cgroups(request.param)
    yield made
    made.remove()


@pytest.fixture
def actor():
    """Processes that do as they are told: actor(). Tests name `cgroups` before it, so that these end first."""
    actors = []

    def make(*args, **kwargs):
        actors.append(Actor(*args, **kwargs))
        return actors[-1]

    yield make
    for one in actors:
        one.end()


@pytest.fixture
def actors_in(cgroups, actor):
    """actors_in(PATH, …): a process in the cgroup PATH, which is made."""
    def make(path, **kwargs):
        cgroups.make(path)
        one = actor(**kwargs)
        cgroups.move(path, one.pid)
        return one
    return make


@pytest.fixture
def objects(models):
    """One that only origin `one` may see, one that only `two` may; of the same size."""
    return models.blob(5000, "one"), models.blob(5000, "two")


def policy_of(callers, objects):
    """CALLERS: lines that say who is `one` and who is `two`."""
    return (f"{callers}\n"
            f"set   first  sha256-{objects[0].sha256}\n"
            f"set   second sha256-{objects[1].sha256}\n"
            f"allow one to first with list\n"
            f"allow two to second with list\n")


def target(uid, origin):
    return f"origin/{uid}/{origin}/hash"


def check_view(mounted, who, uid, origin, objects):
    """WHO sees what ORIGIN does, and that only."""
    assert who.readlink(mounted.path("hash")) == target(uid, origin)
    own, other = objects if origin == "one" else reversed(objects)
    assert who.read(mounted.object(own.sha256)) == own.sha256
    assert who.read(mounted.object(other.sha256)) == "ENOENT"
    assert who.list(mounted.path("hash")) == [own.sha256]


def check_nobody(mounted, who, objects):
    assert who.readlink(mounted.path("hash")) == NOWHERE
    assert who.list(mounted.path("hash")) == []
    for one in objects:
        assert who.read(mounted.object(one.sha256)) == "ENOENT"


# ---- cgroups ---------------------------------------------------------------------------------------

def test_two_cgroups_at_the_same_path(cgroups, actors_in, server, mount, objects):
    """At the same time, by the same user, again and again: what the kernel remembers is never the other's."""
    a, b = cgroups.name("a"), cgroups.name("b")
    mounted = mount(server, policy=policy_of(f"caller cgroup {a} is one\ncaller cgroup {b} is two", objects))
    first, second = actors_in(a, uid=ALICE), actors_in(b, uid=ALICE)
    for _ in range(3):
        check_view(mounted, first, ALICE, "one", objects)
        check_view(mounted, second, ALICE, "two", objects)
    for _ in range(100):
        for who in (first, second):
            who.tell("read", mounted.object(objects[0].sha256))
        assert (first.answer(), second.answer()) == (objects[0].sha256, "ENOENT")


def test_neither_cgroup(cgroups, actors_in, server, mount, objects):
    """In one beside it, whose name begins alike, and in one above it: no line, no origin."""
    a = cgroups.name("a")
    mounted = mount(server, policy=policy_of(f"caller cgroup {a}/b is one", objects))
    check_nobody(mounted, actors_in(a, uid=ALICE), objects)
    check_nobody(mounted, actors_in(f"{a}/bc", uid=ALICE), objects)
    check_view(mounted, actors_in(f"{a}/b", uid=ALICE), ALICE, "one", objects)


def test_moved(cgroups, actors_in, server, mount, objects):
    """A process obeys its new cgroup soon, also if it never ceased to ask, and back again."""
    a, b = cgroups.make(cgroups.name("a")), cgroups.make(cgroups.name("b"))
    mounted = mount(server, policy=policy_of(f"caller cgroup {a} is one\ncaller cgroup {b} is two", objects))
    who = actors_in(a, uid=ALICE)
    for to, origin in ((b, "two"), (a, "one"), (b, "two")):
        who.readlink(mounted.path("hash"))
        cgroups.move(to, who.pid)
        moved = time.monotonic()
        while time.monotonic() - moved < OBEYED_S:
            assert who.readlink(mounted.path("hash")) in (target(ALICE, "one"), target(ALICE, "two"))
        check_view(mounted, who, ALICE, origin, objects)


def test_units(cgroups, actors_in, server, mount, objects):
    unit = cgroups.name("translator.service")
    mounted = mount(server, policy=policy_of(f"caller unit {unit[1:]} is one\ncaller any is two", objects))
    check_view(mounted, actors_in(unit, uid=ALICE), ALICE, "one", objects)
    check_view(mounted, actors_in(f"{unit}/below", uid=ALICE), ALICE, "one", objects)
    check_view(mounted, actors_in(cgroups.name("x.slice") + unit, uid=ALICE), ALICE, "one", objects)
    # It is the outermost unit that counts.
    check_view(mounted, actors_in(cgroups.name("x.scope") + unit, uid=ALICE), ALICE, "two", objects)


def test_a_cgroup_that_a_user_owns(cgroups, actors_in, server, mount, objects):
    """Named like a unit it gives nothing, and what is above it still counts."""
    slice_, unit = cgroups.name("x.slice"), cgroups.name("translator.service")
    path = cgroups.make(slice_ + unit)
    mounted = mount(server, policy=policy_of(
        f"caller unit {unit[1:]} is one\ncaller cgroup {slice_}{unit} is one\ncaller cgroup {slice_} is two", objects))
    os.chown(cgroups.folder(path), ALICE, ALICE)
    check_view(mounted, actors_in(path, uid=ALICE), ALICE, "two", objects)
    os.chown(cgroups.folder(path), 0, 0)
    check_view(mounted, actors_in(path, uid=ALICE), ALICE, "one", objects)
    # Whose door is the user's: it could have moved itself there.
    os.chown(cgroups.procs(path), ALICE, ALICE)
    check_view(mounted, actors_in(path, uid=ALICE), ALICE, "two", objects)
    os.chown(cgroups.procs(path), 0, 0)
    os.chmod(cgroups.folder(path), 0o777)
    check_view(mounted, actors_in(path, uid=ALICE), ALICE, "two", objects)
    # One of its own making, below.
    os.chmod(cgroups.folder(path), 0o755)
    os.chown(cgroups.folder(slice_), ALICE, ALICE)
    check_nobody(mounted, actors_in(path, uid=ALICE), objects)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill") or os.uname().machine not in ("x86_64", "aarch64"),
                    reason="the number of exit(2) is not known here")
def test_a_process_without_its_first_thread(cgroups, actors_in, server, mount, objects):
    """In hierarchies of version 1 the kernel then shows it at the top: out of its cgroup, by its own doing."""
    a = cgroups.name("a")
    mounted = mount(server, policy=policy_of(f"caller cgroup {a} is one\ncaller any is two", objects))
    who = actors_in(a, uid=ALICE)
    check_view(mounted, who, ALICE, "one", objects)
    who.tell("lose leader")
    assert who.answer() != who.pid
    check_nobody(mounted, who, objects)


def test_explain_says_the_same(cgroups, server, mount, objects):
    """On the control socket the caller is the same as in the mount."""
    a, b = cgroups.make(cgroups.name("a")), cgroups.make(cgroups.name("b"))
    mounted = mount(server, policy=policy_of(f"caller cgroup {a} is one\ncaller cgroup {b} is two", objects))
    for path, line in ((a, "one"), (b, "two")):
        said = process.run(["sh", "-c", 'echo 0 >"$1"; shift; exec "$@"', "sh", cgroups.procs(path), WEIGHTFS, "explain", "--json",
                            "--store", mounted.store, objects[0].sha256]).stdout
        topics = {record["topic"]: record["text"] for record in map(json.loads, said.splitlines())}
        assert topics["origin"].startswith(line)
        assert topics["decision"].startswith("allow" if line == "one" else "deny")


# ---- namespaces ------------------------------------------------------------------------------------

class Enclosed(Mount):
    """A daemon in a PID namespace of its own. PROC: with a /proc that shows it; else that of the one above."""

    def __init__(self, *args, proc=False, **kwargs):
        super().__init__(*args, **kwargs)
        before = ["unshare", "--pid", "--fork"]
        if proc:
            before += ["--mount", "--mount-proc"]
        self.proc, self.command = proc, before + self.command

    def inner(self):
        return child_of(self.child.pid)

    def mounted(self):
        if self.child.poll() is not None:
            raise MountFailed(f"weightfs ended with {self.child.returncode}:\n{self.log()}")
        for inner in children_of(self.child.pid):
            with open(f"/proc/{inner}/mountinfo") as table:
                return f" {self.point} " in table.read()

    def enter(self):
        """A command before one that is to run where the daemon does."""
        return ["nsenter", "--pid", *(["--mount"] if self.proc else []), f"--target={self.inner()}"]

    def stop(self):
        os.kill(self.inner(), signal.SIGTERM)
        assert self.child.wait(SOON) == 0, self.log()
        self.child = None


def foreign(objects):
    return policy_of(f"caller uid {ALICE} is one\ncaller any is two", objects)


def test_a_caller_in_a_namespace_below(cgroups, actors_in, actor, server, mount, objects):
    """It is seen as what it is, not as who has its number out here."""
    a = cgroups.name("a")
    mounted = mount(server, policy=policy_of(f"caller cgroup {a} is one\ncaller any is two", objects))
    outside = actor(uid=ALICE)
    check_view(mounted, outside, ALICE, "two", objects)
    below = actors_in(a, uid=ALICE, before=["unshare", "--pid", "--fork", "--mount-proc"])
    cgroups.move(a, child_of(below.pid))
    assert below.numbers[0] < 10
    check_view(mounted, below, ALICE, "one", objects)


@pytest.mark.parametrize("uid", [0, ALICE], ids=["root", "alice"])
def test_a_caller_whom_the_namespace_does_not_show(actor, server, mount, objects, uid):
    """It has number 0, and is nobody, whoever it says it is. So is root, who finds no view of others either."""
    mounted = mount(server, policy=foreign(objects), kind=Enclosed)
    outside = actor(uid=uid)
    check_nobody(mounted, outside, objects)
    for name in (f"origin/{ALICE}", f"origin/{ALICE}/one", f"origin/{uid}/two"):
        assert outside.list(mounted.path(name)) == "ENOENT"
    # Where it is shown, all is as ever.
    inside = actor(uid=uid, before=mounted.enter())
    check_view(mounted, inside, uid, "one" if uid == ALICE else "two", objects)


@pytest.mark.parametrize("proc", [False, True], ids=["proc-of-another", "its-own-proc"])
def test_a_daemon_that_looks_at_the_proc_of_its_namespace(cgroups, actor, server, mount, objects, proc):
    """By the numbers of another one, processes would be others: nobody is known then."""
    a = cgroups.name("a")
    mounted = mount(server, policy=policy_of(f"caller cgroup {a} is one\ncaller any is two", objects),
                    kind=Enclosed, proc=proc)
    cgroups.make(a)
    inside = actor(uid=ALICE, before=mounted.enter())
    for pid in (inside.pid, child_of(inside.pid)):
        cgroups.move(a, pid)
    if proc:
        check_view(mounted, inside, ALICE, "one", objects)
    else:
        check_nobody(mounted, inside, objects)


# ---- who acts for others ---------------------------------------------------------------------------

def test_a_thread_that_acts_as_another_user(actor, server, mount, objects):
    """It is whom it acts as, its process notwithstanding; and finds the view of no other."""
    mounted = mount(server, policy=policy_of(f"caller uid {ALICE} is one\ncaller uid {BOB} is two", objects))
    who = actor()
    check_nobody(mounted, who, objects)
    for _ in range(3):
        for uid, origin, own, other in ((ALICE, "one", *objects), (BOB, "two", *reversed(objects))):
            assert who.ask("as", uid, "readlink", mounted.path("hash")) == target(uid, origin)
            assert who.ask("as", uid, "read", mounted.object(own.sha256)) == own.sha256
            assert who.ask("as", uid, "read", mounted.object(other.sha256)) == "ENOENT"
            assert who.ask("as", uid, "list", mounted.path("origin")) == [str(uid)]
    assert who.ask("as", ALICE, "read", mounted.path(target(BOB, "two"), objects[1].sha256)) == "ENOENT"
    assert who.ask("as", ALICE, "list", mounted.path(target(ALICE, "two"))) == "ENOENT"


# ---- brokers ---------------------------------------------------------------------------------------

WEB, WEB_DIR = "https://app.example.com", "https_app.example.com_0"
VALID = ["one", "two", "never-seen", WEB_DIR, "http_127.0.0.1_8080"]
INVALID = ["One", "https_app.example.com", "https_app.example.com_443", "https_APP.example.com_0", "https://x", "any",
           "none", "x" * 255]


def brokered(objects):
    return policy_of(f"broker uid {ALICE}\ncaller uid {ALICE} is one\ncaller uid {BOB} is two", objects)


@pytest.mark.parametrize("uid", [ALICE, 0], ids=["broker", "root"])
def test_brokers(actor, server, mount, objects, uid):
    """A broker finds any view of its user, and root any of any user; both are shown no more than their own."""
    mounted = mount(server, policy=brokered(objects))
    who = actor(uid=uid)
    for name in VALID:
        assert who.list(mounted.path(f"origin/{ALICE}", name)) == VIEW, name
    for name in INVALID:
        assert who.list(mounted.path(f"origin/{ALICE}", name)) == "ENOENT", name
    assert who.read(mounted.path(target(ALICE, "two"), objects[1].sha256)) == objects[1].sha256
    assert who.read(mounted.path(target(ALICE, "two"), objects[0].sha256)) == "ENOENT"
    assert who.list(mounted.path(f"origin/{ALICE}")) == (["one"] if uid == ALICE else [])
    for name in VALID + INVALID:
        expected = VIEW if uid == 0 and name in VALID else "ENOENT"
        assert who.list(mounted.path(f"origin/{BOB}", name)) == expected, name


def test_guessing(actor, server, mount, objects):
    """Whether a view is there, was ever used, or cannot be: all the same to who has no business in it."""
    mounted = mount(server, policy=brokered(objects))
    broker, bob = actor(uid=ALICE), actor(uid=BOB)
    assert broker.read(mounted.path(target(ALICE, "one"), objects[0].sha256)) == objects[0].sha256
    root = reader.listing(mounted.path(f"origin/{BOB}", WEB_DIR))
    assert sorted(root) == VIEW
    check_view(mounted, bob, BOB, "two", objects)
    answers = [reader.calls(mounted.path("origin", str(uid), name), BOB)
               for uid in (ALICE, BOB, 4711) for name in VALID + INVALID[:3] if (uid, name) != (BOB, "two")]
    assert all(answer == answers[0] for answer in answers)
    assert set(answers[0].values()) == {"ENOENT"}


def test_a_broker_uses_up_its_views(actor, server, mount, objects):
    """Not those of others. What it has stays; what is over is not there, and said once."""
    mounted = mount(server, policy=brokered(objects))
    broker, bob = actor(uid=ALICE), actor(uid=BOB)
    mounted.stop()
    process.run([VIEWS, mounted.store, ALICE, 65535], check=True)
    mount(again=mounted)
    assert broker.list(mounted.path(f"origin/{ALICE}/one")) == VIEW
    for name in ("two", "three", "two", WEB_DIR):
        assert broker.list(mounted.path(f"origin/{ALICE}", name)) == "ENOENT"
    for name in ("one", "o0", "o65534"):
        assert broker.list(mounted.path(f"origin/{ALICE}", name)) == VIEW
    assert mounted.log().count(f"user {ALICE} has 65536 views") == 1
    check_view(mounted, bob, BOB, "two", objects)


def test_a_folder_kept_open(actor, server, mount, objects):
    """Whoever got hold of another user's folder finds nothing by it, broker or not; of what is below a view, all."""
    mounted = mount(server, policy=brokered(objects) + f"broker uid {BOB}\n")
    who = actor()
    user = who.ask("open folder", mounted.path(f"origin/{ALICE}"))
    view = who.ask("open folder", mounted.path(f"origin/{ALICE}/one"))
    assert who.ask("as", ALICE, "list at", user, "one") == VIEW
    for name in VALID:
        assert who.ask("as", BOB, "list at", user, name) == "ENOENT"
    assert who.ask("as", BOB, "list at", view, "hash") == []
    assert who.read(mounted.path(target(ALICE, "one"), objects[0].sha256)) == objects[0].sha256
    assert who.ask("as", BOB, "list at", view, "hash") == [objects[0].sha256]


def test_a_broker_by_its_cgroup(cgroups, actors_in, actor, server, mount, objects):
    """One process of a user is a broker, the others are not, on the same paths and at the same time."""
    a = cgroups.name("launcher.service")
    mounted = mount(server, policy=policy_of(f"broker unit {a[1:]}\ncaller uid {ALICE} is one", objects))
    broker, other = actors_in(a, uid=ALICE), actor(uid=ALICE)
    for _ in range(50):
        assert broker.list(mounted.path(f"origin/{ALICE}/two")) == VIEW
        assert other.list(mounted.path(f"origin/{ALICE}/two")) == "ENOENT"
        assert other.list(mounted.path(f"origin/{ALICE}/one")) == VIEW


# ---- a storm ---------------------------------------------------------------------------------------

PROCESSES = 100_000 if LONG else 1000 if SANITIZER else 4000


def storm(mounted, callers):
    """PROCESSES in all, of each of CALLERS alike, two of each running at a time."""
    result = process.run([STORM, mounted.point, PROCESSES // len(callers), 2, *callers], timeout=3000)
    fine = sum(int(line.split(": ")[1].split()[0]) for line in result.stdout.splitlines()
               if line.endswith("is fine"))
    assert (result.returncode, fine) == (0, PROCESSES), result.stdout + result.stderr


def storm_caller(uid, origin, objects, **more):
    own, other = objects if origin == "one" else reversed(objects)
    return ",".join(f"{key}={value}" for key, value in dict(
        uid=uid, target=target(uid, origin), own=own.sha256, file=own.path, other=other.sha256, **more).items())


def test_storm_of_two_users(server, mount, objects):
    mounted = mount(server, policy=policy_of(f"caller uid {ALICE} is one\ncaller uid {BOB} is two", objects))
    storm(mounted, [storm_caller(ALICE, "one", objects), storm_caller(BOB, "two", objects)])


def test_storm_of_users_and_cgroups(cgroups, server, mount, objects):
    """A user in two cgroups, and another one in one of them."""
    a, b = cgroups.make(cgroups.name("a")), cgroups.make(cgroups.name("b"))
    mounted = mount(server, policy=policy_of(
        f"caller uid {BOB} is two\ncaller cgroup {a} is one\ncaller cgroup {b} is two", objects))
    storm(mounted, [storm_caller(ALICE, "one", objects, cgroup=cgroups.procs(a)),
                    storm_caller(ALICE, "two", objects, cgroup=cgroups.procs(b)),
                    storm_caller(BOB, "two", objects, cgroup=cgroups.procs(a)),
                    storm_caller(ALICE, "one", objects, cgroup=cgroups.procs(a))])


def test_the_storm_would_notice(server, mount, objects):
    """Were both users one: what is the other's is found, and said."""
    mounted = mount(server, policy=policy_of("caller any is one", objects) + "allow one to any\n")
    result = process.run([STORM, mounted.point, 3, 1, storm_caller(ALICE, "one", objects),
                          storm_caller(BOB, "two", objects)])
    assert result.returncode == 1
    assert "3 finds what is the other's" in result.stdout
    assert "3 is led elsewhere" in result.stdout
