# SPDX-License-Identifier: Apache-2.0
"""What a policy says, in Python: written from weightfs-policy(5) and the design alone, so that it can be wrong only
in other ways than the program.

`Policy` reads the text and decides. `View` is what one (user, origin) sees of `Thing`s, objects whose state in
the store and at the sources the test has arranged; it answers system calls.
"""

import re
from dataclasses import dataclass, field

VIEW = ["hash", "hub", "name"]  # what is in each

MINUTES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


@dataclass(frozen=True)
class Digests:
    """What is known of an object, each 64 hexadecimal digits or None."""
    sha256: str = None
    fsverity: str = None


@dataclass(frozen=True)
class Rule:
    line: int
    verb: str  # allow, ask, deny
    origins: str
    targets: tuple
    options: dict


@dataclass(frozen=True)
class Decision:
    verdict: str
    line: int = 0
    cached: bool = False
    list: bool = False
    shared: bool = False


def is_web(origin):
    return "://" in origin


def directory(origin):
    """https://app.example.com → https_app.example.com_0"""
    if not is_web(origin):
        return origin
    scheme, rest = origin.split("://")
    host, _, port = rest.partition(":")
    return f"{scheme}_{host}_{port or 0}"


def origin_matches(pattern, origin):
    if pattern in ("any", origin):
        return True
    scheme, wildcard, domain = pattern.partition("://*.")
    # One or more labels in front of the domain.
    return bool(wildcard) and bool(re.fullmatch(
        re.escape(scheme) + r"://([a-z0-9-]+\.)+" + re.escape(domain), origin))


class Policy:
    def __init__(self, text, users=None):
        """USERS: uids by name, for `user` lines."""
        self.callers, self.brokers, self.rules, self.sets, self.shared = [], [], [], {}, set()
        self.users = users or {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            if words:
                getattr(self, "read_" + words[0])(number, *words[1:])

    # ---- statements

    def read_caller(self, _, kind, *rest):
        value, origin = (None, rest[1]) if kind == "any" else (rest[0], rest[2])
        self.callers.append((*self.who(kind, value), origin))

    def read_broker(self, _, kind, value):
        self.brokers.append(self.who(kind, value))

    def who(self, kind, value):
        if kind == "user":
            return "uid", self.users[value]
        return kind, None if value is None else int(value)

    def read_set(self, _, name, *words):
        words = list(words)
        if words[-1] == "shared":
            self.shared.add(name)
            words.pop()
        if words[0] == "file":
            with open(words[1]) as file:
                words = [line.split("#")[0].strip() for line in file]
        self.sets[name] = {digest(word) for word in words if word}

    def read_rule(self, number, verb, origins, to, targets, *options):
        assert to == "to" and (not options or options[0] == "with")
        values = dict(option.partition("=")[::2] for option in options[1].split(",")) if options else {}
        self.rules.append(Rule(number, verb, origins, tuple(targets.split(",")), values))

    def read_allow(self, number, *words):
        self.read_rule(number, "allow", *words)

    def read_ask(self, number, *words):
        self.read_rule(number, "ask", *words)

    def read_deny(self, number, *words):
        self.read_rule(number, "deny", *words)

    # ---- questions

    def origin_of(self, uid, gids=()):
        for kind, value, origin in self.callers:
            if kind == "any" or kind == "uid" and value == uid or kind == "gid" and value in gids:
                return origin
        return None

    def is_broker(self, uid, gids=()):
        return any(kind == "any" or kind == "uid" and value == uid or kind == "gid" and value in gids
                   for kind, value in self.brokers)

    def digests_of(self, target):
        return self.sets[target] if target in self.sets else {digest(target)}

    def holds(self, target, digests):
        known = {("sha256", digests.sha256), ("fsverity", digests.fsverity)}
        return target == "any" or bool(self.digests_of(target) & known)

    def matches(self, rule, digests):
        if any(self.holds(target, digests) for target in rule.targets):
            return True
        # It might be the one that is denied.
        return rule.verb == "deny" and digests.sha256 is None and any(
            kind == "sha256" for target in rule.targets if target != "any"
            for kind, _ in self.digests_of(target))

    def decide(self, origin, digests):
        for rule in self.rules:
            if origin and origin_matches(rule.origins, origin) and self.matches(rule, digests):
                return Decision(rule.verb, rule.line, "cached" in rule.options, "list" in rule.options,
                                any(self.holds(name, digests) for name in self.shared))
        return Decision("deny")

    def probes(self, origin):
        """(count, seconds) of the first line about ORIGIN that has a budget."""
        for rule in self.rules:
            if origin_matches(rule.origins, origin) and "probes" in rule.options:
                count, time = rule.options["probes"].split("/")
                number, unit = re.fullmatch(r"(\d+)([smhd]?)", time).groups()
                return int(count), int(number) * MINUTES[unit]
        return None


def digest(word):
    kind, _, rest = word.replace(":", "-").rpartition("-")
    assert re.fullmatch("[0-9a-f]{64}", rest), word
    return kind or "sha256", rest


# ---- what a view sees ------------------------------------------------------------------------------

@dataclass(frozen=True)
class Thing:
    """An object and how it stands.

    STATE in the store: "absent", "partial", "complete" (a pinned one is that, too). SOURCE: somebody has it.
    All of it can be had by its fs-verity digest; what is not complete is known by that alone.
    """
    name: str
    sha256: str
    fsverity: str
    size: int
    state: str
    source: bool

    @property
    def complete(self):
        return self.state == "complete"

    @property
    def file(self):
        """Its last component in a catalog."""
        return self.name.replace(" ", "-").replace(",", "")

    def known(self):
        """What the store can know of it."""
        return Digests(self.sha256 if self.complete else None, self.fsverity)

    def canonical(self):
        return self.sha256 if self.complete else f"fsverity-{self.fsverity}"


@dataclass
class View:
    uid: int
    origin: str
    own: set = field(default_factory=set)      # of the names of things: it fetched them itself, completely
    granted: set = field(default_factory=set)  # … it was granted them

    @property
    def web(self):
        return is_web(self.origin)

    @property
    def place(self):
        return f"origin/{self.uid}/{directory(self.origin)}"

    def shares(self, thing, decision):
        """May it have from the store what is there?"""
        return not self.web or decision.shared or thing.name in self.own

    def refusal(self, thing, decision):
        if decision.verdict == "ask":
            return None if thing.name in self.granted else "EACCES"
        return "ENOENT" if decision.verdict == "deny" else None

    def known(self, policy, thing, by):
        """The digests that it may learn of a thing that it named by BY."""
        named = Digests(**{by: getattr(thing, by)})
        if thing.state != "absent" and self.shares(thing, policy.decide(self.origin, named)):
            return thing.known()
        return named

    def missing(self, policy, thing, by):
        """The errno of every call that names THING by BY ("sha256", "fsverity"); None: it is there."""
        decision = policy.decide(self.origin, Digests(**{by: getattr(thing, by)}))
        refused = self.refusal(thing, decision)
        if refused:
            return refused
        shares = self.shares(thing, decision)
        if shares and thing.state != "absent" and getattr(thing.known(), by):
            refused = self.refusal(thing, policy.decide(self.origin, thing.known()))
            there = refused is None and (thing.complete or not decision.cached)
            return None if there else refused or "ENOENT"
        return None if thing.source and not decision.cached else "ENOENT"

    def missing_behind(self, policy, thing, known):
        """The errno of an open through a node that it found before, and of which KNOWN is known."""
        decision = policy.decide(self.origin, known)
        refused = self.refusal(thing, decision)
        if refused or not decision.cached:
            return refused
        return None if thing.complete and self.shares(thing, decision) else "ENOENT"

    def attribute(self, policy, thing, by, name):
        """(errno, value) of an extended attribute of an object that is there; a value of None: any."""
        known = self.known(policy, thing, by)
        if name in ("digest", "fsverity"):
            value = known.sha256 if name == "digest" else known.fsverity
            return (None, value) if value else ("ENODATA", None)
        if self.web:
            return "ENODATA", None
        if name == "state":
            return None, {"absent": "known"}.get(thing.state, thing.state)
        return None, str(thing.size) if thing.complete else None

    def listing_by_name(self, policy, things):
        """The files in a folder of a catalog, which knows THINGS by their fs-verity digest; None: it is not there."""
        names, there = set(), False
        stored = self.listing(policy, things)
        for thing in things:
            decision = policy.decide(self.origin, Digests(fsverity=thing.fsverity))
            there |= decision.verdict != "deny"
            if self.refusal(thing, decision) is None and decision.list and \
                    (not decision.cached or thing.canonical() in stored):
                names.add(thing.file)
        return names if there else None

    def listing(self, policy, things):
        """The names in its hash/."""
        names = set()
        for thing in things:
            decision = policy.decide(self.origin, thing.known())
            if thing.state != "absent" and self.refusal(thing, decision) is None and decision.list and \
                    self.shares(thing, decision) and (thing.complete or not decision.cached):
                names.add(thing.canonical())
        return names
