# SPDX-License-Identifier: Apache-2.0
"""Reload: however the policy is changed, every open that begins 100 ms later obeys it, no read fails because of it, and one
that is broken changes nothing.
"""

import errno
import json
import os
import random
import re
import subprocess
import time

import pytest

from conftest import ALICE, NOBODY
from harness import cli, process, reader
from harness.paths import LONG, MIB, SANITIZER, SOON
from harness.poll import holds_for, wait_until
from harness.reader import Reader

MAIN = os.path.join(os.path.dirname(os.path.realpath(reader.__file__)), "obeying_main.py")

# What the design promises; a sanitizer's build is slower by an order of magnitude.
OBEYED = 1.0 if SANITIZER else 0.1
RELOADS = 1000 if LONG else 100 if SANITIZER else 300

ALLOW_ALL = "caller any is local\nallow local to any with list\n"
BROKEN = "caller any is local\nallow local unto any\n"


def allowing(*models):
    return "caller any is local\n" + "".join(f"allow local to {m.sha256},{m.attested} with list\n"
                                             for m in models)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def replace(path, text):
    """As an administrator's editor does."""
    write(path + ".new", text)
    os.rename(path + ".new", path)


def errno_of(call, *args):
    """What CALL, which opens something, fails with; None if it does not."""
    try:
        os.close(call(*args))
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def opens(path):
    return errno_of(os.open, path, os.O_RDONLY) is None


def wait_for_policy(mounted, model, allowed, what):
    wait_until(lambda: opens(mounted.object(model.sha256)) == allowed, what, interval=0.002)


def reloads(mounted, result="success"):
    for line in cli.ok("metrics", "--json", "--store", mounted.store).splitlines():
        metric = json.loads(line)
        if metric["name"] == "weightfs_policy_reloads_total":
            return sum(s["value"] for s in metric["samples"] if s["labels"]["result"] == result)
    raise AssertionError("no such metric")


def settled(mounted):
    """The number of loads so far, once there are no more of them on their way."""
    count, since = None, 0
    def quiet():
        nonlocal count, since
        now = reloads(mounted) + reloads(mounted, "failure")
        if now != count:
            count, since = now, time.monotonic()
        return time.monotonic() - since > 0.15
    wait_until(quiet, "no more loads")
    return count


@pytest.fixture
def two(models):
    return models.blob(MIB, "by turns: one"), models.blob(MIB, "by turns: the other")


@pytest.fixture
def stocked(two, small, medium, server, mount):
    """A mount on which all of them are stored."""
    def make(policy=ALLOW_ALL, **kwargs):
        mounted = mount(server, policy=ALLOW_ALL, **kwargs)
        for model in (*two, small, medium):
            cli.ok("add", "--store", mounted.store, model.path)
        replace(mounted.policy, policy)
        cli.ok("reload", "--store", mounted.store)
        settled(mounted)
        return mounted
    return make


# ---- a thousand reloads ------------------------------------------------------------------------------

class Schedule:
    """Which of two is allowed when: from the moment at which that must be obeyed to the one at which it is changed again."""

    def __init__(self, mounted, policies):
        self.mounted, self.policies = mounted, policies
        self.spans = []  # (from, to, index)

    def write(self, index):
        if self.spans and self.spans[-1][1] is None:
            self.spans[-1][1] = time.monotonic()
        replace(self.mounted.policy, self.policies[index])

    def obeyed_from(self, when, index):
        self.spans.append([when, None, index])

    def by_command(self, index):
        """In force when the command says so."""
        self.write(index)
        cli.ok("reload", "--store", self.mounted.store)
        self.obeyed_from(time.monotonic(), index)

    def by_itself(self, index, signal):
        """By inotify alone, or with a signal as well: in force 100 ms after it was written."""
        self.write(index)
        if signal:
            self.mounted.reload()
        self.obeyed_from(time.monotonic() + OBEYED, index)
        wait_until(lambda: time.monotonic() > self.spans[-1][0], "it is in force", interval=0.01)

    def dwell(self, seconds):
        """Somebody opens something meanwhile."""
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > end, "time to open something", interval=0.002)

    def check(self, seen):
        """How many opens fell into each span; each must have gone as it should."""
        counts = [0] * len(self.spans)
        at = 0
        for begun, ended, index, outcome in seen:
            while at < len(self.spans) and self.spans[at][1] is not None and self.spans[at][1] < begun:
                at += 1
            if at == len(self.spans):
                break
            start, end, allowed = self.spans[at]
            if begun < start or (end is not None and ended > end):
                continue
            counts[at] += 1
            expected = None if index == allowed else "ENOENT"
            assert outcome == expected, \
                f"{begun - start:.3f} s after policy {at} was to be obeyed: {outcome}, not {expected}"
        return counts


@pytest.mark.heavy
@pytest.mark.parametrize("options", [[], ["nopassthrough"]], ids=["passthrough", "nopassthrough"])
def test_a_thousand_reloads_during_reads(stocked, two, small, medium, options):
    mounted = stocked(options=options)
    schedule = Schedule(mounted, [allowing(small, medium, model) for model in two])
    schedule.by_command(0)
    readers = [Reader(mounted.object(name(small)), small.sha256, mounted.object(medium.sha256),
                      *(mounted.object(model.sha256) for model in two), uid=uid, main=MAIN,
                      stdin=subprocess.PIPE)
               for uid, name in ((None, lambda m: m.sha256), (ALICE, lambda m: m.attested), (NOBODY, lambda m: m.sha256))]
    before = reloads(mounted)
    count = RELOADS if not options else RELOADS // 10
    try:
        for n in range(1, count + 1):
            if n % 10 == 0:
                schedule.by_itself(n % 2, signal=n % 20 == 0)
            else:
                schedule.by_command(n % 2)
            schedule.dwell(0.1 if SANITIZER else 0.01)
    finally:
        for one in readers:
            one.child.stdin.close()
    spans = [0] * len(schedule.spans)
    for one in readers:
        said = one.outcome()
        assert not said["failures"], said["failures"]
        assert said["reads"] > 10 and said["kept"] > 100
        spans = [a + b for a, b in zip(spans, schedule.check(said["opens"]))]
    assert sum(1 for seen in spans if seen) > count / 2, "readers were too slow to see the policies"
    assert reloads(mounted) - before >= count
    assert mounted.alive()


# ---- revocation --------------------------------------------------------------------------------------

def ask(mounted, way):
    if way == "signal":
        mounted.reload()
    elif way == "command":
        cli.ok("reload", "--store", mounted.store)


@pytest.mark.parametrize("way", ["inotify", "signal", "command"])
def test_what_is_revoked_is_refused_to_every_open_after_100_ms(stocked, two, way):
    """By path, through a kept O_PATH descriptor and /proc, and from a kept folder; who has it open goes on reading."""
    model, other = two
    mounted = stocked()
    path = mounted.object(model.sha256)
    folder = os.open(mounted.path("hash"), os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(5):
        place, opened = os.open(path, os.O_PATH), os.open(path, os.O_RDONLY)
        tries = {
            "path": lambda: errno_of(os.open, path, os.O_RDONLY),
            "O_PATH": lambda: errno_of(os.open, f"/proc/self/fd/{place}", os.O_RDONLY),
            "openat": lambda: errno_of(lambda: os.open(model.sha256, os.O_RDONLY, dir_fd=folder)),
            "O_PATH at": lambda: errno_of(lambda: os.open(model.sha256, os.O_PATH, dir_fd=folder)),
            "its other name": lambda: errno_of(lambda: os.open(model.attested, os.O_RDONLY, dir_fd=folder)),
        }
        assert not any(call() for call in tries.values())
        replace(mounted.policy, allowing(other))
        written = time.monotonic()
        ask(mounted, way)
        refused = 0
        while refused < 20:
            for name, call in tries.items():
                begun = time.monotonic()
                outcome = call()
                assert outcome in (None, "ENOENT"), name
                if begun > written + OBEYED:
                    assert outcome == "ENOENT", f"{name}, {begun - written:.3f} s after it was revoked"
                    refused += 1
        assert os.pread(opened, 100, 1000) == model.read(1000, 100), "what is open stays open"
        for fd in (place, opened):
            os.close(fd)
        replace(mounted.policy, ALLOW_ALL)
        ask(mounted, way)
        wait_for_policy(mounted, model, True, "granted again")
    os.close(folder)


# ---- a broken one ------------------------------------------------------------------------------------

@pytest.mark.parametrize("way", ["inotify", "signal"])
def test_a_broken_policy_changes_nothing_and_says_so_once(stocked, two, way):
    model, other = two
    mounted = stocked(allowing(model))
    start, failed = len(mounted.log()), reloads(mounted, "failure")
    replace(mounted.policy, BROKEN)
    ask(mounted, way)
    line = mounted.wait_for_log(rf"{mounted.policy}:2:\d+: .*", start)
    assert "old policy stays" in line
    holds_for(lambda: opens(mounted.object(model.sha256)) and not opens(mounted.object(other.sha256)),
              0.3, "the old policy is in force")
    assert reloads(mounted, "failure") > failed
    told = cli.status(mounted.store)["policy"]
    assert told["file"] == mounted.policy and f"{mounted.policy}:2:" in told["failed"]
    assert f"{mounted.policy}:2:" in cli.ok("status", "--store", mounted.store)
    # Once more the same: nothing new to say.
    failed = reloads(mounted, "failure")
    mounted.reload()
    wait_until(lambda: reloads(mounted, "failure") > failed, "it was tried again")
    assert mounted.log()[start:].count(f"{mounted.policy}:2:") == 1
    # Gone altogether is no policy either.
    os.unlink(mounted.policy)
    mounted.wait_for_log("No such file", start)
    assert opens(mounted.object(model.sha256)) and not opens(mounted.object(other.sha256))
    # The next change is followed.
    replace(mounted.policy, allowing(other))
    ask(mounted, way)
    wait_for_policy(mounted, other, True, "the next one is in force")
    assert not opens(mounted.object(model.sha256))
    assert cli.status(mounted.store)["policy"]["failed"] is None


def test_half_a_policy_is_not_read(stocked, two):
    """Written in place, with a pause: nobody hears of what is not there yet."""
    model, other = two
    mounted = stocked(allowing(model, other))
    before = settled(mounted)
    with open(mounted.policy, "w") as file:
        file.write("caller any is local\n")
        file.flush()
        holds_for(lambda: opens(mounted.object(model.sha256)), 0.3, "still the old one")
        assert reloads(mounted) == before
        file.write(f"allow local to {other.sha256}\n")
    wait_for_policy(mounted, model, False, "the new one is in force")
    assert opens(mounted.object(other.sha256))


def test_a_list_that_is_being_written_keeps_no_revocation_back(stocked, two, folder):
    """Not even if it has half a line in it, which is no digest: then the rest of the line is all that is waited for."""
    model, other = two
    listed = os.path.join(folder, "list")
    write(listed, "")
    head = f"caller any is local\nset ours file {listed}\nallow local to ours\n"
    mounted = stocked(head + f"allow local to {model.sha256}\n")
    with open(listed, "a") as file:
        for half in ("# a comment", other.sha256[:20]):
            replace(mounted.policy, head + f"allow local to {model.sha256}\n")
            wait_for_policy(mounted, model, True, "granted")
            settled(mounted)
            file.write(half)
            file.flush()
            replace(mounted.policy, head)
            written = time.monotonic()
            if half in other.sha256:
                mounted.wait_for_log("a digest expected")
                file.write(other.sha256[20:])
                written = time.monotonic()
            file.write("\n")
            file.flush()
            wait_for_policy(mounted, model, False, "revoked")
            assert time.monotonic() - written < OBEYED + 0.2, "obeyed, but late"
    wait_for_policy(mounted, other, True, "the list is closed")


# ---- ways to change a policy ---------------------------------------------------------------------------

def in_place(path, text):
    write(path, text)


def by_unlink(path, text):
    os.unlink(path)
    write(path, text)


def with_backup(path, text):
    os.rename(path, path + "~")
    write(path, text)


def by_link(path, text):
    """The file becomes a link to another one; the second time the link is switched."""
    target = f"{path}.{random.getrandbits(32)}"
    write(target, text)
    os.symlink(target, path + ".new")
    os.rename(path + ".new", path)


def behind_the_link(path, text):
    """Where it really is."""
    replace(os.path.realpath(path), text)


def by_folder(path, text):
    """Its folder is another one; what else was in there goes along."""
    folder, name = os.path.split(path)
    other = f"{folder}.{random.getrandbits(32)}"
    os.mkdir(other)
    write(os.path.join(other, name), text)
    os.rename(folder, f"{other}.old")
    os.rename(other, folder)


def folder_comes_back(path, text):
    folder = os.path.dirname(path)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)
    os.mkdir(folder)
    write(path, text)


WAYS = [replace, in_place, by_unlink, with_backup, by_link, behind_the_link, by_folder, folder_comes_back]


@pytest.mark.parametrize("change", WAYS, ids=[way.__name__ for way in WAYS])
def test_every_way_to_change_the_policy_is_noticed(stocked, two, folder, change):
    """In a folder of its own, which is what the daemon was told of."""
    place = os.path.join(folder, "policies")
    os.mkdir(place)
    policy = os.path.join(place, "policy")
    write(policy, ALLOW_ALL)
    mounted = stocked()
    mounted.stop()
    mounted.command = [word.replace(f"policy={mounted.policy}", f"policy={policy}") for word in mounted.command]
    mounted.start()
    if change is behind_the_link:
        by_link(policy, ALLOW_ALL)
        settled(mounted)
    for turn in range(4):
        change(policy, allowing(two[turn % 2]))
        written = time.monotonic()
        wait_for_policy(mounted, two[(turn + 1) % 2], False, "the other is not allowed any more")
        assert opens(mounted.object(two[turn % 2].sha256))
        assert time.monotonic() - written < OBEYED + 0.2, "noticed, but late"


def test_included_files(stocked, two, folder):
    """One that is named, and a folder that gains and loses files."""
    model, other = two
    rules, named = os.path.join(folder, "policy.d"), os.path.join(folder, "named.rules")
    os.mkdir(rules)
    write(named, "")
    mounted = stocked(f"caller any is local\ninclude {named}\ninclude {rules}/*.rules\n")
    assert not opens(mounted.object(model.sha256))
    write(named, f"allow local to {model.sha256}\n")
    wait_for_policy(mounted, model, True, "the named one was written")
    replace(os.path.join(rules, "10.rules"), f"allow local to {other.sha256}\n")
    wait_for_policy(mounted, other, True, "the folder gained one")
    replace(os.path.join(rules, "05.rules"), f"deny local to {other.sha256}\n")
    wait_for_policy(mounted, other, False, "the folder gained one that goes before")
    os.rename(os.path.join(rules, "05.rules"), os.path.join(rules, "05.off"))
    wait_for_policy(mounted, other, True, "it lost that")
    write(os.path.join(rules, "10.rules"), "")
    wait_for_policy(mounted, other, False, "one in it was written")
    # A folder that is gone has no rules in it; one that comes back does.
    for name in os.listdir(rules):
        os.unlink(os.path.join(rules, name))
    os.rmdir(rules)
    settled(mounted)
    assert opens(mounted.object(model.sha256)) and cli.status(mounted.store)["policy"]["failed"] is None
    os.mkdir(rules)
    write(os.path.join(rules, "10.rules"), f"allow local to {other.sha256}\n")
    wait_for_policy(mounted, other, True, "the folder is back")


def test_what_a_linked_policy_includes_is_beside_the_real_one(stocked, two, folder):
    """Also once the link leads elsewhere."""
    mounted = stocked()
    for model, name in zip(two, ("first", "second")):
        place = os.path.join(folder, name)
        os.mkdir(place)
        write(os.path.join(place, "policy"), "caller any is local\ninclude rules\n")
        write(os.path.join(place, "rules"), f"allow local to {model.sha256}\n")
    for model, name in zip(two, ("first", "second")):
        os.symlink(os.path.join(folder, name, "policy"), mounted.policy + ".new")
        os.rename(mounted.policy + ".new", mounted.policy)
        wait_until(lambda: cli.weightfs("explain", "--store", mounted.store, model.sha256).returncode == 0
                   and sum(opens(mounted.object(one.sha256)) for one in two) == 1, f"the {name} one is in force")
    write(os.path.join(folder, "second", "rules"), f"allow local to {two[0].sha256}\n")
    wait_for_policy(mounted, two[0], True, "what the real one includes was written")


def test_an_included_file_that_was_broken_is_followed(stocked, two, folder):
    """It is in no policy in force yet."""
    model, other = two
    named = os.path.join(folder, "named.rules")
    mounted = stocked(allowing(model))
    write(named, "allow local unto any\n")
    start = len(mounted.log())
    replace(mounted.policy, f"caller any is local\ninclude {named}\n")
    mounted.wait_for_log(rf"{named}:1:\d+", start)
    assert opens(mounted.object(model.sha256))
    write(named, f"allow local to {other.sha256}\n")
    wait_for_policy(mounted, other, True, "it was mended")
    assert not opens(mounted.object(model.sha256))


def test_an_included_file_that_was_missing_is_followed(stocked, two, folder):
    model, other = two
    named = os.path.join(folder, "later", "named.rules")
    mounted = stocked(allowing(model))
    start = len(mounted.log())
    replace(mounted.policy, f"caller any is local\ninclude {named}\n")
    mounted.wait_for_log(rf"{mounted.policy}:2:\d+: {named}: No such file", start)
    os.mkdir(os.path.dirname(named))
    write(named, f"allow local to {other.sha256}\n")
    wait_for_policy(mounted, other, True, "it is there")
    assert not opens(mounted.object(model.sha256))


def test_files_of_sets(stocked, two, folder):
    model, other = two
    listed = os.path.join(folder, "list")
    write(listed, f"{model.sha256}\n")
    mounted = stocked(f"caller any is local\nset ours file {listed}\nallow local to ours\n")
    assert opens(mounted.object(model.sha256)) and not opens(mounted.object(other.sha256))
    write(listed, f"{other.sha256}\n")
    wait_for_policy(mounted, other, True, "the list was written")
    assert not opens(mounted.object(model.sha256))
    replace(listed, f"{model.sha256}\n")
    wait_for_policy(mounted, model, True, "the list was replaced")


def test_a_public_list_that_is_missing_is_empty_and_said(stocked, two, folder):
    model, other = two
    listed = os.path.join(folder, "public", "list")
    mounted = stocked(allowing(other))
    start = len(mounted.log())
    replace(mounted.policy, f"caller any is local\nset public file {listed} shared\n"
                            f"allow local to public,{other.sha256}\n")
    mounted.wait_for_log(re.escape(listed), start)
    told = cli.status(mounted.store)["policy"]
    assert told["failed"] is None and listed in told["warnings"][0]
    assert "warning" in cli.ok("status", "--store", mounted.store)
    assert listed in json.loads(cli.ok("reload", "--json", "--store", mounted.store))["warnings"][0]
    assert listed in cli.ok("reload", "--store", mounted.store)
    assert mounted.log()[start:].count(listed) == 1, "once said is enough"
    assert opens(mounted.object(other.sha256)) and not opens(mounted.object(model.sha256))
    # It comes, with its folder; and says what it is about.
    os.mkdir(os.path.dirname(listed))
    write(listed, f"# Models\n{model.sha256}\n")
    wait_for_policy(mounted, model, True, "the list is there")
    assert cli.status(mounted.store)["policy"]["warnings"] == []


def test_a_pipe_in_place_of_a_file_is_not_waited_for(stocked, two, folder):
    """Nobody writes to it; the daemon goes on, and ends when it is told to."""
    model, other = two
    listed = os.path.join(folder, "list")
    write(listed, "")
    head = f"caller any is local\nset public file {listed} shared\n"
    mounted = stocked(head + f"allow local to {model.sha256}\n")
    start = len(mounted.log())
    os.mkfifo(listed + ".new")
    os.rename(listed + ".new", listed)
    mounted.wait_for_log(f"{listed}: not a regular file", start)
    replace(mounted.policy, head + f"allow local to {other.sha256}\n")
    wait_for_policy(mounted, model, False, "a policy beside it is in force")
    assert opens(mounted.object(other.sha256))
    os.mkfifo(mounted.policy + ".new")
    os.rename(mounted.policy + ".new", mounted.policy)
    mounted.wait_for_log(f"{mounted.policy}: not a regular file", start)
    checked = cli.weightfs("policy", "check", mounted.policy)
    assert checked.returncode == 1 and f"{mounted.policy}: not a regular file" in checked.stderr
    assert opens(mounted.object(other.sha256))
    mounted.stop()


# ---- without inotify -----------------------------------------------------------------------------------

def test_where_inotify_is_not_to_be_had_signals_and_the_command_still_reload(two, small, server, mount):
    model, other = two
    mounted = mount(server, policy=allowing(small), start=False)
    # Detached: the daemon is the test's own child, as ever. Leaks cannot be looked for in what is traced.
    mounted.command = ["env", f"ASAN_OPTIONS={os.environ['ASAN_OPTIONS']}:detect_leaks=0", "strace", "-D", "-f", "-qq", "-o",
                       "/dev/null", "-e", "trace=inotify_init1", "-e", "inject=inotify_init1:error=EMFILE",
                       *mounted.command]
    mounted.start()
    mounted.wait_for_log("changes of the policy are not noticed")
    cli.ok("add", "--store", mounted.store, model.path, other.path)
    replace(mounted.policy, allowing(model))
    holds_for(lambda: not opens(mounted.object(model.sha256)), 0.3, "nobody noticed")
    mounted.reload()
    wait_for_policy(mounted, model, True, "by the signal")
    replace(mounted.policy, allowing(other))
    cli.ok("reload", "--store", mounted.store)
    assert opens(mounted.object(other.sha256))
