# SPDX-License-Identifier: Apache-2.0
"""Nobody learns from the time of an answer whether an object is in the store for others.

A trial measures one look-up, one open and the first read of one name by tests/tools/call-times. Half of the names
are of objects that `local` has fetched before, half of objects that only the source has; all are alike otherwise, of one
size, in a random order. How well the two kinds can be told apart by a time is the area under the ROC curve, the better
one of both directions (harness/auc.py); 0.55 at most is asked for.

The statistics: with n present and n absent objects and nothing to be told, the area is 0.5 with a standard deviation of
sqrt((2n + 1) / 12n²): 0.0105 for n = 1500. 0.55 is 4.7 of these, which chance exceeds in two of a million comparisons; there
are about thirty. A leak with a true area of 0.58 is let pass in one of 400. Nothing is tried again: a comparison that fails has failed. Where an answer
changes nothing (denied), each name is asked for five times and the median counts, which removes the machine's noise and
keeps any difference; where it does (a first fetch), each object is used once.

That it would find a leak is shown by the same measurement where there is one by intention: a local name and a
shared set have from the store what is there, so present and absent differ by a fetch.
"""

import errno
import hashlib
import os
import random
import statistics
import struct

import pytest

from conftest import ALICE, BOB
from harness import auc, cli, process
from harness.paths import BLOCK, CHUNK, KIB, LONG, SANITIZER, WEIGHTFS
from harness.policymodel import directory
from harness.poll import wait_until

CALL_TIMES = os.path.join(os.path.dirname(WEIGHTFS), "tests", "tools", "call-times")
COUNT = 4000 if LONG else 1500  # of each kind
BOUND, FOUND = 0.55, 0.9
SIZE = 24 * KIB
LARGE = CHUNK + BLOCK + 1  # two chunks: not all of it comes with the look-up

# Times of sanitizers' builds are those of the sanitizers.
pytestmark = pytest.mark.native

ALLOWED, DENIED, ASKED, CACHED, POOR, SHARED = (
    f"https://{name}.example.com" for name in ("allowed", "denied", "asked", "cached", "poor", "shared"))


# ---- many objects ----------------------------------------------------------------------------------

def levels(data):
    """The Merkle tree's levels above DATA, from below, each whole blocks; and its root."""
    made, level = [], data
    while len(level) > BLOCK:
        hashes = b"".join(hashlib.sha256(level[at:at + BLOCK].ljust(BLOCK, b"\0")).digest()
                          for at in range(0, len(level), BLOCK))
        level = hashes.ljust(-(-len(hashes) // BLOCK) * BLOCK, b"\0")
        made.append(level)
    return made, hashlib.sha256(level.ljust(BLOCK, b"\0")).digest()


def tree_file(data):
    """The front, and the descriptor."""
    made, root = levels(data)
    descriptor = struct.pack("<BBBBIQ64s32s144s", 1, 1, 12, 0, 0, len(data), root, b"", b"")
    return b"".join(reversed(made[1:])) + descriptor


class Crowd:
    """COUNT objects of SIZE, made by a source; one half will be present, chosen at random."""

    def __init__(self, root, work, count, size, random_):
        os.makedirs(work)
        paths = [os.path.join(work, str(number)) for number in range(count)]
        for path in paths:
            with open(path, "wb") as file:
                file.write(random_.randbytes(64).ljust(size, b"w"))
        digests = lambda *command: process.run([*command, *paths], check=True).stdout.split("\n")
        self.sha256 = [line.split()[0] for line in digests("openssl", "dgst", "-sha256", "-r") if line]
        self.fsverity = [line.strip() for line in digests("fsverity", "digest", "--compact") if line]
        assert len(self.sha256) == len(self.fsverity) == count
        for path, sha256, fsverity in zip(paths, self.sha256, self.fsverity):
            self.publish(root, path, sha256, fsverity)
        order = random_.sample(range(count), count)
        self.present, self.absent = order[:count // 2], order[count // 2:]

    @staticmethod
    def publish(root, path, sha256, fsverity):
        with open(path, "rb") as file:
            tree = tree_file(file.read())
        assert hashlib.sha256(tree[-256:]).hexdigest() == fsverity
        os.link(path, os.path.join(root, "s", sha256))
        os.link(path, os.path.join(root, "f", fsverity))
        with open(os.path.join(root, "f", fsverity + ".vtree"), "wb") as file:
            file.write(tree)

    def names(self, by):
        return self.sha256 if by == "sha256" else [f"fsverity-{digest}" for digest in self.fsverity]


@pytest.fixture
def random_(request):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


class Scene:
    def __init__(self, folder, nginx, mount, random_):
        self.folder, self.random, self.made, self.names_of_sets = folder, random_, 0, []
        self.root = os.path.join(folder, "crowd")
        for name in ("s", "f"):
            os.makedirs(os.path.join(self.root, name))
        self.server = nginx(self.root)
        self.mount_one = mount

    def crowd(self, count, size=SIZE):
        self.made += 1
        return Crowd(self.root, os.path.join(self.folder, f"crowd{self.made}"), count, size, self.random)

    def start(self, shared=()):
        """SHARED: crowds whose objects are in a set that is shared."""
        path = os.path.join(self.folder, "shared")
        with open(path, "w") as file:
            for crowd in shared:
                file.write("".join(f"{name}\n" for by in ("sha256", "fsverity") for name in crowd.names(by)))
        self.mounted = self.mount_one(self.server, policy="\n".join([
            f"caller uid {BOB} is local", f"set common file {path} shared",
            "allow local to any with list",
            f"allow {ALLOWED} to any",
            f"allow {SHARED} to common",
            f"allow {CACHED} to any with cached",
            f"allow {POOR} to any with probes=1/1h",
            f"ask {ASKED} to any", ""]))

    def fetch(self, crowd, by):
        """`local` fetches those that are to be present."""
        names = crowd.names(by)
        trials = self.times("local", BOB, [names[at] for at in crowd.present])
        assert all(trial.read[0] == 0 for trial in trials)

        def complete():
            records = cli.listed(self.mounted.store)
            key = "digest" if by == "sha256" else "fsverity"
            there = {record.get(key) for record in records if record["state"] == "complete"}
            return there >= {cli.bare(names[at]) for at in crowd.present}
        wait_until(complete, "all is in the store")

    def times(self, place, uid, names, repeats=1):
        place = self.mounted.path("origin", str(uid), place, "hash")
        result = process.run([CALL_TIMES, place, repeats], input="".join(f"{name}\n" for name in names),
                             check=True, timeout=600)
        return [Trial(line) for line in result.stdout.splitlines()]

    def measure(self, crowd, by, origin, uid=ALICE, repeats=1):
        """Two lists of trials, present and absent, made in random order. REPEATS: medians."""
        names = crowd.names(by)
        order = [(names[at], True) for at in crowd.present] + [(names[at], False) for at in crowd.absent]
        self.random.shuffle(order)
        trials = self.times(directory(origin), uid, [name for name, _ in order], repeats)
        medians = [Median(trials[at:at + repeats]) for at in range(0, len(trials), repeats)]
        return tuple([trial for trial, (_, is_present) in zip(medians, order) if is_present == wanted]
                     for wanted in (True, False))


class Trial:
    """(errno, nanoseconds) of each call."""

    def __init__(self, line):
        numbers = list(map(int, line.split()))
        self.lookup, self.open, self.read = (tuple(numbers[at:at + 2]) for at in (1, 3, 5))


class Median:
    def __init__(self, trials):
        for call in ("lookup", "open", "read"):
            errors = {getattr(trial, call)[0] for trial in trials}
            assert len(errors) == 1, f"{call} answered differently: {errors}"
            setattr(self, call, (errors.pop(), statistics.median(getattr(trial, call)[1] for trial in trials)))
        self.all = (0, self.lookup[1] + self.open[1] + max(0, self.read[1]))


def compare(present, absent, calls):
    """AUC by call; the answers themselves must be the same."""
    areas = {}
    for call in calls:
        answers = [{getattr(trial, call)[0] for trial in trials} for trials in (present, absent)]
        assert answers[0] == answers[1] and len(answers[0]) == 1, f"{call} told by its errno: {answers}"
        values = [[getattr(trial, call)[1] for trial in trials] for trials in (present, absent)]
        areas[call] = round(auc.auc(*values), 4)
        print(f"{call}: AUC {areas[call]}, medians {[statistics.median(value) for value in values]} ns, "
              f"of {[len(value) for value in values]}")
    return areas


def all_answer(trials, call, *errors):
    return {getattr(trial, call)[0] for kind in trials for trial in kind} == set(errors)


@pytest.fixture
def scene(folder, nginx, mount, random_):
    return Scene(folder, nginx, mount, random_)


# ---- what it would find ----------------------------------------------------------------------------

def test_the_area():
    assert auc.area([3, 4], [1, 2]) == 1 and auc.area([1, 2], [3, 4]) == 0 and auc.auc([1, 2], [3, 4]) == 1
    assert auc.area([1, 1], [1, 1]) == 0.5 and auc.area([1, 3], [2, 2]) == 0.5
    assert auc.area([1, 2, 3], [1, 2, 3]) == 0.5 and auc.area([2, 3], [1, 2]) == 3.5 / 4
    assert abs(auc.deviation(1000, 1000) - 0.0129) < 0.0001
    chance = random.Random(1)
    draws = [auc.area([chance.random() for _ in range(50)], [chance.random() for _ in range(50)])
             for _ in range(400)]
    assert abs(statistics.pstdev(draws) / auc.deviation(50, 50) - 1) < 0.15


def test_the_bound_is_far_from_chance():
    assert (BOUND - 0.5) / auc.deviation(COUNT, COUNT) > 4.5


@pytest.mark.parametrize("by", ["sha256", "fsverity"])
@pytest.mark.parametrize("origin", ["local", SHARED], ids=["a local name", "a shared set"])
def test_a_leak_is_found(scene, origin, by):
    """Where others' objects are shared on purpose, the measurement shows which are here."""
    crowd = scene.crowd(400)
    scene.start([crowd])
    scene.fetch(crowd, by)
    present, absent = scene.measure(crowd, by, origin, BOB if origin == "local" else ALICE)
    assert all_answer((present, absent), "read", 0)
    assert max(compare(present, absent, ["lookup", "open", "read", "all"]).values()) >= FOUND


# ---- what must not be found ------------------------------------------------------------------------

REFUSALS = {DENIED: errno.ENOENT, ASKED: errno.EACCES, CACHED: errno.ENOENT, POOR: errno.ENOENT}


@pytest.mark.parametrize("size", [SIZE, LARGE] if LONG else [SIZE])
def test_the_time_does_not_tell_what_others_have(scene, size):
    """A web origin that is denied, has to ask, has nothing but what is here, has asked for too much; and one that is
    allowed everything, of which it has fetched nothing and nothing is shared: the first use of each is a real fetch.
    """
    crowd = scene.crowd(2 * COUNT, size)
    scene.start()
    scene.fetch(crowd, "sha256")
    # A budget of one object: it is one that no source has, so that nothing of it is left to be looked up.
    scene.times(directory(POOR), ALICE, [f"{number:064x}" for number in range(3)])
    scene.server.mark()
    told = {}
    for origin, error in REFUSALS.items():
        for by in ("sha256", "fsverity"):
            trials = scene.measure(crowd, by, origin, repeats=5)
            assert all_answer(trials, "lookup", error), f"{origin} by {by}"
            told |= leaks(f"{origin} by {by}", trials, ["lookup", "open", "all"])
    assert not scene.server.requests(probes=True)
    # Two users, so that neither has fetched anything before.
    for by, uid in (("sha256", ALICE), ("fsverity", BOB)):
        told |= first_uses(scene, crowd, by, uid)
    assert not told


def leaks(what, trials, calls):
    """The areas above the bound, by what was measured."""
    print(what)
    return {(what, call): area for call, area in compare(*trials, calls).items() if area > BOUND}


def first_uses(scene, crowd, by, uid):
    trials = scene.measure(crowd, by, ALLOWED, uid)
    assert all_answer(trials, "read", 0)
    return leaks(f"{ALLOWED} (uid {uid}) by {by}", trials, ["lookup", "open", "read", "all"])
