# SPDX-License-Identifier: Apache-2.0
"""Every answer that the mount gives, compared with what the policy says by a model of its own (harness/policymodel.py).

Origins × objects × system calls × verdicts, on one mount, by processes of different users at the same time and in random
order, so that the kernel's caches are warm with the answers of others: two users of one web origin (one of them
fetched what is complete itself), another web origin behind a wildcard, one with a port, local names, origins for which
each class of objects has another verdict, a broker in several views, root in all of them, and a caller without an
origin. The verdicts (denied, cached, ask, allowed) go round by reloads of the policy, so that each origin has each of
them once and finds the caches warm with its own former answers, too; descriptors opened with O_PATH in one round are
opened in the next ones.

Nothing here changes the state of an object, or an answer would depend on the order:
- an object is either at the source or was taken from it after the preparation, which stores what is to be stored. So a
  look-up by a web origin, which asks the source as on an empty store, finds some objects that are stored by others to
  be absent, and some that nobody has to be there;
- a catalog names what is at the source, by the fs-verity digest, so that it is looked up by that;
- no file is read. What is fetched with the question for the size is not a chunk: all objects have several;
- what an open would fetch whole (known by its SHA-256 alone) is named by its fs-verity digest.

WEIGHTFS_MATRIX_SEED repeats a run's order.
"""

import os
import random

import pytest

from harness import cli, reader
from harness.calls import Caller, Check, equals, said, some_of
from harness.catalogs import Catalog, entry
from harness.models import unknown_digest
from harness.paths import CHUNK
from harness.policymodel import Digests, Policy, Thing, View
from harness.poll import wait_until

SEED = int(os.environ.get("WEIGHTFS_MATRIX_SEED") or random.SystemRandom().randrange(1 << 32))

# The symlinks at the root, with the folder in each that leads to objects: in name/ and hub/ what a catalog names.
COMMIT = "5" * 40
ROOTS = {"hash": "", "name": f"matrix/things/all@{COMMIT}", "hub": f"models--things--all/snapshots/{COMMIT}"}

STATES, CLASSES = ("absent", "partial", "complete", "pinned"), ("public", "shared", "private")
VERDICTS = ("allowed", "cached", "ask", "denied")
ATTRIBUTES = ("digest", "fsverity", "state", "present")

APP, DEEP, INTRANET = "https://app.example.com", "https://deep.sub.wild.example", "http://intranet.example:8080"
MIXED_WEB = "https://mixed.example"
# Who has which origin, and how its lines name it: every one has the four verdicts in turn.
UIDS = {"app": 13001, "app's other user": 13002, "wildcard": 13003, "port": 13004, "desk": 13005, "group": 13006,
        "mixed": 13007, "mixed web": 13008, "broker": 13009, "nobody": 13010, "preparing": 13011}
OWN = {"app": APP, "app's other user": APP, "wildcard": DEEP, "port": INTRANET, "desk": "desk", "group": "tools",
       "mixed": "mixed", "mixed web": MIXED_WEB, "broker": "launcher"}
PATTERNS = (APP, "https://*.wild.example", INTRANET, "desk", "tools", "launcher")

STATX_FLAGS = (0, 0x2000, 0x4000)  # AT_STATX_SYNC_AS_STAT, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC


# ---- the objects -----------------------------------------------------------------------------------

class Object:
    """A model, its thing, and how it was made: STATE and CLASS."""

    def __init__(self, models, state, kind, source):
        size = 16 * CHUNK if state == "partial" else 2 * CHUNK + 17
        self.state, self.kind = state, kind
        self.model = models.blob(size, f"matrix {state} {kind} {source}")
        self.thing = Thing(f"{state} {kind}{'' if source else ', not at the source'}", self.model.sha256,
                           self.model.fsverity, size, "complete" if state == "pinned" else state, source)


@pytest.fixture
def objects(models):
    made = [Object(models, state, kind, source) for source in (True, False) for kind in CLASSES for state in STATES]
    yield made
    for one in made:
        if one.thing.source:
            models.unpublish(one.model)


# ---- the policy ------------------------------------------------------------------------------------

def statement(verdict, origin, targets, listed=True):
    options = ["cached"] * (verdict == "cached") + ["list"] * (listed and verdict != "denied")
    verb = {"allowed": "allow", "cached": "allow", "ask": "ask", "denied": "deny"}[verdict]
    return f"{verb} {origin} to {targets}" + (f" with {','.join(options)}" if options else "")


def callers():
    lines = []
    for who, origin in OWN.items():
        if who != "group":
            lines.append(f"caller uid {UIDS[who]} is {origin}")
    return lines + [f"caller gid {UIDS['group']} is tools", f"broker uid {UIDS['broker']}", "caller uid 0 is admin"]


def sets(objects, folder):
    lines = []
    for kind in CLASSES:
        names = [f"{name}-{value}" for one in objects if one.kind == kind
                 for name, value in (("sha256", one.model.sha256), ("fsverity", one.model.fsverity))]
        if kind == "public":
            path = os.path.join(folder, "public")
            with open(path, "w") as file:
                file.write("# nobody's secret\n" + "\n".join(names) + "\n")
            lines.append(f"set public file {path}")
        else:
            lines.append(f"set {kind} {' '.join(names)}{' shared' if kind == 'shared' else ''}")
    return lines


def policy(objects, folder, turn):
    """The verdicts have moved on by TURN."""
    lines = callers() + sets(objects, folder)
    for at, pattern in enumerate(PATTERNS):
        lines.append(statement(VERDICTS[(at + turn) % 4], pattern, "any", (at + turn // 2) % 3 != 1))
    for origin, step in (("mixed", 1), (MIXED_WEB, 3)):
        for at, kind in enumerate(CLASSES):
            lines.append(statement(VERDICTS[(step * at + turn) % 4], origin, kind))
    # Not reached by any of them: the first match decides.
    lines += ["deny any to public,shared", "allow any to private with list,cached"]
    return "\n".join(lines) + "\n"


# ---- the preparation -------------------------------------------------------------------------------

def prepare(objects, models, server, mount, folder, catalog):
    """The mounted daemon, whose store is as the objects say; it runs under the first policy."""
    open_policy = "\n".join(callers()[:-1] + [f"caller uid {UIDS['preparing']} is preparing",
                                              "allow any to any with list"]) + "\n"
    mounted = mount(server, catalog.section, policy=open_policy)
    for one in objects:
        path = mounted.object(one.model.attested)
        if one.state == "partial":
            assert reader.part(path, 0, 4096, UIDS["preparing"])["size"] == 4096
        elif one.state != "absent" and one.thing.source:
            assert reader.whole(path, uid=UIDS["preparing"])["sha256"] == one.model.sha256
        elif one.state != "absent":
            cli.ok("add", "--store", mounted.store, one.model.path)
    for one in objects:
        if one.thing.complete:
            path = mounted.object(one.model.attested)
            assert reader.whole(path, uid=UIDS["app"])["sha256"] == one.model.sha256
    wait_until(lambda: all(stands(mounted, one) for one in objects), "the store is as it should be")
    for one in objects:
        if one.state == "pinned":
            cli.ok("pin", "--store", mounted.store, one.model.sha256)
        if not one.thing.source:
            models.unpublish(one.model)
    mounted.stop()
    catalog.keep(mounted.store, [entry(one.model, f"things/all@{COMMIT}/{one.thing.file}", sha256=None)
                                 for one in objects if one.thing.source])
    with open(mounted.policy, "w") as file:
        file.write(policy(objects, folder, 0))
    mounted.start()
    os.chmod(mounted.store, 0o711)  # its users reach the control socket
    return mounted


def stands(mounted, one):
    record = cli.record_of(mounted.store, one.model)
    if one.state == "absent":
        return not record
    if one.state == "partial":
        return record and 0 < record["present"] < one.model.size and record["state"] == "partial"
    return record and record["state"] == "complete" and record["digest"] and record["fsverity"] and \
        any(user.startswith(APP) for user in record["origins"])


# ---- the plan --------------------------------------------------------------------------------------

class Planner:
    """The checks of one process in one round."""

    def __init__(self, mounted, objects, rules, random_, kept, uid):
        self.mounted, self.objects, self.rules, self.random, self.kept = mounted, objects, rules, random_, kept
        self.own = {f"origin/{uid}"}  # its user's folder is there
        self.things = [one.thing for one in objects]
        self.checks, self.first = [], []

    def add(self, call, path, argument, value, says):
        expected = value if callable(value) else equals(value)
        self.checks.append(Check(call, path, argument, expected, f"{says}: {getattr(value, 'says', value)}"))

    def name(self, view, thing):
        """(by, spelling): one of those that no open fetches anything by."""
        decision = self.rules.decide(view.origin, Digests(sha256=thing.sha256))
        fetches = thing.source and decision.verdict != "deny" and not decision.cached
        by = "fsverity"
        if not fetches or thing.complete and view.shares(thing, decision):
            by = self.random.choice(["sha256", "fsverity"])
        spellings = {"sha256": ["{}", "sha256-{}", "sha256:{}"], "fsverity": ["fsverity-{}"]}[by]
        return by, self.random.choice(spellings).format(getattr(thing, by))

    def path(self, view, thing, doors):
        """(by, path) through one of DOORS."""
        root, door = self.random.choice(doors)
        if root != "hash":
            return "fsverity", os.path.join(door, thing.file)
        by, name = self.name(view, thing)
        return by, os.path.join(door, name)

    def missing(self, view, thing, by, path):
        """As View.missing(); no catalog names what is not at the source."""
        named = os.path.basename(path) != thing.file or thing.source
        return view.missing(self.rules, thing, by) if named else "ENOENT"

    def view(self, view, doors):
        """All of a view; DOORS: (root, path) that lead there."""
        for thing in self.things:
            for call, arguments in CALLS:
                for argument in arguments:
                    by, path = self.path(view, thing, doors)
                    value = self.missing(view, thing, by, path) or self.answer(view, thing, by, call, argument)
                    self.add(call, path, argument, value, f"{view.origin} (uid {view.uid}), {thing.name} by {by}")
            self.keep(view, thing, doors)
        self.directories(view, doors)

    def keep(self, view, thing, doors):
        """What may be looked up now is kept, and opened in this round and the later ones. A node has no name any more:
        it is what was known behind the name then.
        """
        key = f"{view.place} {thing.name}"
        by, path = self.path(view, thing, doors)
        if key not in self.kept and self.missing(view, thing, by, path) is None:
            self.kept[key] = view.known(self.rules, thing, by)
            self.first.append(Check("keep", path, key, equals("ok"), f"{key} is kept"))
        if key in self.kept:
            self.add("kept", "", key, view.missing_behind(self.rules, thing, self.kept[key]) or "ok", f"kept: {key}")

    def answer(self, view, thing, by, call, argument):
        if call in ("stat", "lstat", "statx"):
            return [thing.size, 1, 0o100444, -(-thing.size // 512)]
        if call == "access":
            return {"r": "ok", "f": "ok", "x": "EACCES", "w": "EROFS"}[argument]
        if call == "getxattr":
            error, value = view.attribute(self.rules, thing, by, argument)
            if error is None and value is None:
                return said("a number", lambda answer: answer.isdigit())
            return error or value
        if call == "listxattr":
            return sorted(f"user.weightfs.{name}" for name in ATTRIBUTES
                          if view.attribute(self.rules, thing, by, name)[0] is None)
        if call == "statfs":
            return self.statfs(view)
        return "ok"

    def statfs(self, view):
        """A local name that may have any object is told of the store; to others it is as good as empty."""
        stored = sum(thing.state != "absent" for thing in self.things)
        whatever = self.rules.decide(view.origin, Digests(unknown_digest(), unknown_digest()))
        if view.web or whatever.verdict != "allow":
            return [0, 0, 0, 0]
        return said("the store", lambda answer: answer[0] > answer[1] and answer[3] >= stored)

    def directories(self, view, doors):
        for root, door in doors * 3:
            if root == "hash":
                names, statfs, nothing = view.listing(self.rules, self.things), self.statfs(view), self.nothing(view)
            else:
                names = view.listing_by_name(self.rules, [thing for thing in self.things if thing.source])
                statfs, nothing = "ENOENT" if names is None else self.statfs(view), "ENOENT"
            names = "ENOENT" if names is None else sorted(names)
            self.add("readdir", door, None, names, f"{view.origin} (uid {view.uid}) lists {root}")
            self.add("statfs", door, None, statfs, f"{view.origin} (uid {view.uid}) statfs")
            self.add("stat", os.path.join(door, unknown_digest()), None, nothing, f"{view.origin}: what nobody has")

    def nothing(self, view):
        """The answer for a digest that is in no set, of nothing."""
        nowhere = Thing("nothing", unknown_digest(), unknown_digest(), 0, "absent", False)
        return view.missing(self.rules, nowhere, "sha256")

    def links(self, place):
        """PLACE: where a caller is sent."""
        for root in list(ROOTS) * 8:
            self.add("readlink", self.mounted.path(root), None, f"{place}/{root}", f"where {root} leads")

    def stranger(self, place, count):
        """Somebody else's view, or another origin's of the same user: it is not there."""
        for _ in range(count):
            thing = self.random.choice(self.things)
            call, arguments = self.random.choice(CALLS)
            for argument in arguments:
                self.add(call, self.mounted.path(place, self.somewhere(thing)), argument, "ENOENT",
                         f"{thing.name} in somebody else's {place}")
        for folder in (place, os.path.dirname(place)):
            for call in ("stat", "readdir", "lookup", "statfs") if folder not in self.own else ():
                self.add(call, self.mounted.path(folder), None, "ENOENT", f"somebody else's {folder}")

    def somewhere(self, thing):
        """THING in one of the roots."""
        root = self.random.choice(list(ROOTS))
        return os.path.join(root, ROOTS[root], self.name_of(thing) if root == "hash" else thing.file)

    def name_of(self, thing):
        return self.random.choice([thing.sha256, f"fsverity-{thing.fsverity}"])

    def empty(self):
        """A caller without an origin: an empty view."""
        for root in ROOTS:
            self.add("readdir", self.mounted.path(root), None, [], "nobody lists")
        for thing in self.things:
            for call, arguments in CALLS:
                for argument in arguments:
                    self.add(call, self.mounted.path(self.somewhere(thing)), argument, "ENOENT", f"nobody's {thing.name}")

    def plan(self):
        self.random.shuffle(self.checks)
        return self.first + self.checks


CALLS = (("lookup", (None,)), ("stat", (None,)), ("lstat", (None,)), ("statx", STATX_FLAGS),
         ("access", ("r", "x", "w", "f")), ("open", (None,)), ("reopen", (None,)), ("getxattr", ATTRIBUTES),
         ("listxattr", (None,)), ("statfs", (None,)))


# ---- the processes ---------------------------------------------------------------------------------

@pytest.fixture
def processes(folder):
    made = {who: Caller(folder, who, uid) for who, uid in UIDS.items() if who != "preparing"}
    made["root"] = Caller(folder, "root", 0)
    yield made
    for one in made.values():
        one.end()


# ---- the test --------------------------------------------------------------------------------------

def views_of(objects, granted):
    """By who they belong to: the caller's own first."""
    views = {who: [View(UIDS[who], origin)] for who, origin in OWN.items()}
    views["app"][0].own = {one.thing.name for one in objects if one.thing.complete}
    views["broker"] += [View(UIDS["broker"], origin) for origin in (APP, "desk", DEEP)]
    for who, names in granted.items():
        views[who][0].granted = set(names)
    return views


def doors_of(mounted, view, own):
    """The folders of the view that objects are in."""
    doors = [(root, mounted.path(view.place, root, folder)) for root, folder in ROOTS.items()]
    return doors + [(root, mounted.path(root, folder)) for root, folder in ROOTS.items()] if own else doors


def plan_round(mounted, objects, views, processes, rules, random_):
    planners = {who: Planner(mounted, objects, rules, random_, caller.kept, UIDS.get(who, 0))
                for who, caller in processes.items()}
    everywhere = [(who, view) for who, all_ in views.items() for view in all_]
    for who, view in everywhere:
        own = view is views[who][0]
        planners[who].view(view, doors_of(mounted, view, own))
        if own:
            planners[who].links(view.place)
    for who, planner in planners.items():
        for owner, view in everywhere:
            if who == "root" and random_.random() < 0.4:
                planner.view(view, doors_of(mounted, view, False))
            elif who not in ("root", owner):
                planner.stranger(view.place, 4)
    # Of the same user, who is no broker.
    for who in ("app", "desk"):
        planners[who].stranger(View(UIDS[who], MIXED_WEB).place, 8)
    planners["nobody"].empty()
    return {who: planner.plan() for who, planner in planners.items()}


def grant(mounted, objects, random_):
    """Some objects for two of those who will have to ask; nobody else's view has anything of it. Root answers for a
    user whose processes are a web origin; another one does so itself.
    """
    granted = {}
    for who, uid, options in (("app", 0, ["--uid", UIDS["app"]]), ("desk", UIDS["desk"], [])):
        chosen = random_.sample(objects, 8)
        for one in chosen:
            for name in (f"sha256-{one.model.sha256}", one.model.attested):
                cli.ok("grant", "--store", mounted.store, *options, OWN[who], name, uid=uid)
        granted[who] = [one.thing.name for one in chosen]
    return granted


def test_every_answer_is_the_policys(models, objects, server, mount, folder, processes):
    print(f"WEIGHTFS_MATRIX_SEED={SEED}")
    random_ = random.Random(SEED)
    catalog = Catalog(os.path.join(folder, "keys"), folder, server.url, "matrix")
    mounted = prepare(objects, models, server, mount, folder, catalog)
    views = views_of(objects, grant(mounted, objects, random_))
    made, server_before = 0, server.requests(probes=True)
    for turn in range(len(VERDICTS)):
        text = policy(objects, folder, turn)
        if turn:
            start = len(mounted.log())
            mounted.set_policy(text)
            mounted.wait_for_log("policy .* loaded", start)
        plans = plan_round(mounted, objects, views, processes, Policy(text), random_)
        for who, checks in plans.items():
            processes[who].begin(checks)
        for caller in processes.values():
            caller.go()
        wrong = [one for caller in processes.values() for one in caller.wrong()]
        made += sum(map(len, plans.values()))
        assert not wrong, f"round {turn}, WEIGHTFS_MATRIX_SEED={SEED}: {len(wrong)} wrong answers\n{some_of(wrong)}\n" + \
            "\n".join(line[:100] for line in text.splitlines())
    assert made >= 10000
    print(f"{made} checks")
    # Nothing was fetched for any of them but sizes and trees.
    fetched = [request["uri"] for request in server.requests()[len(server_before):] if request["body"] >= CHUNK]
    assert not fetched
    assert all(stands(mounted, one) or one.state == "absent" for one in objects), "nothing has changed"
