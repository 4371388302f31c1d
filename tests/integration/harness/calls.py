# SPDX-License-Identifier: Apache-2.0
"""System calls with the answers that they must have, made by processes of several users at once (calls_main.py)."""

import json
import os
import subprocess

from . import process

MAIN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "calls_main.py")


class Check:
    """One system call and its answer: EXPECTED is a predicate, SAYS what it means."""

    def __init__(self, call, path, argument, expected, says):
        self.step, self.expected, self.says = [call, path, argument], expected, says


def equals(value):
    return lambda answer: answer == value


def said(says, predicate):
    predicate.says = says
    return predicate


class Wrong:
    """ANSWER to WHO was not that of CHECK."""

    def __init__(self, who, check, answer):
        self.kind = who, check.step[0]
        self.text = f"{who}: {' '.join(map(str, check.step))}\n    {check.says}, but it was {answer}"


def some_of(wrong):
    """A few of each kind, as text."""
    kinds = {}
    for one in wrong:
        kinds.setdefault(one.kind, []).append(one.text)
    return "\n".join(text for kind in sorted(kinds) for text in kinds[kind][:3] + [f"({len(kinds[kind])} such)"])


class Caller:
    """A process of a user, which makes the calls of its plans."""

    def __init__(self, folder, who, uid):
        self.folder, self.who, self.kept, self.round = folder, who, {}, 0
        self.child = process.spawn(process.as_user(uid, process.python(MAIN)), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)

    def begin(self, checks):
        self.checks = checks
        self.path = os.path.join(self.folder, f"plan-{self.who.replace(' ', '-')}-{self.round}")
        self.round += 1
        with open(self.path, "w") as file:
            json.dump([check.step for check in checks], file)
        open(self.path + ".answers", "w").close()
        os.chmod(self.path + ".answers", 0o666)

    def go(self):
        self.child.stdin.write(self.path + "\n")
        self.child.stdin.flush()

    def wrong(self):
        """What was answered otherwise."""
        assert self.child.stdout.readline() == "done\n", f"{self.who} died"
        with open(self.path + ".answers") as file:
            answers = json.load(file)
        assert len(answers) == len(self.checks)
        return [Wrong(self.who, check, answer) for check, answer in zip(self.checks, answers)
                if not check.expected(answer)]

    def end(self):
        self.child.stdin.close()
        process.kill_group(self.child)
