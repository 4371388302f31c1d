#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what test runs said: pytest's JUnit XML files and the TAP logs of automake's driver.

	tally.py [--strict ALLOWLIST] FILE.xml | FILE.log …
	tally.py --failed FILE.xml	the tests that failed, as pytest names them

Prints `PASSED FAILED SKIPPED`. With --strict a skipped test counts as failed, and is named on stderr,
unless a line of ALLOWLIST (a regular expression; # begins a comment) matches `NAME: REASON`.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

TAP = re.compile(r"^(not )?ok\b\s*\d*\s*-?\s*([^#]*)(?:#\s*(SKIP|TODO)\b\s*(.*))?", re.IGNORECASE)


def junit(path):
    """Yields (name, "passed" | "failed" | "skipped", reason)."""
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        # A test that passed and then failed to clean up has one entry with an error.
        if case.find("failure") is not None or case.find("error") is not None:
            yield name, "failed", ""
        elif (skip := case.find("skipped")) is not None:
            yield name, "skipped", skip.get("message") or ""
        else:
            yield name, "passed", ""


def tap(path):
    """The same. A plan that was not kept, or a bail out, is a failure of its own."""
    program = re.sub(r"\.log$", "", path.rsplit("/", 1)[-1])
    planned, seen = None, 0
    with open(path, errors="replace") as log:
        for line in log:
            if plan := re.match(r"1\.\.(\d+)", line):
                planned = (planned or 0) + int(plan[1])
            elif line.startswith("Bail out!"):
                yield program, "failed", line
            elif (point := TAP.match(line)) and not line.startswith("ok:"):
                seen += 1
                if point[3] and point[3].upper() == "SKIP":
                    yield f"{program}::{point[2].strip()}", "skipped", point[4].strip()
                else:
                    yield f"{program}::{point[2].strip()}", "failed" if point[1] else "passed", ""
    if planned is None or seen < planned:
        yield program, "failed", f"planned {planned}, ran {seen}"


def failed(path):
    """test_x.py::test_y[z] of each."""
    for name, result, _ in junit(path):
        if result == "failed":
            module, test = name.split("::", 1)
            yield f"{module.rsplit('.', 1)[-1]}.py::{test}"


def main(args):
    if args[:1] == ["--failed"]:
        print(*dict.fromkeys(failed(args[1])), sep="\n")
        return
    allowed = None
    if args[:1] == ["--strict"]:
        with open(args[1]) as file:
            lines = (re.sub(r"#.*", "", line).strip() for line in file)
            allowed = [re.compile(line) for line in lines if line]
        args = args[2:]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for path in args:
        for name, result, reason in junit(path) if path.endswith(".xml") else tap(path):
            if result == "skipped" and allowed is not None and \
                    not any(regex.search(f"{name}: {reason}") for regex in allowed):
                print(f"skipped, which counts as failed here: {name}: {reason}", file=sys.stderr)
                result = "failed"
            counts[result] += 1
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main(sys.argv[1:])
