#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A table in Markdown of what the benchmarks printed (build/bench.json).

With --into, it takes the place of what stands between `<!-- bench -->` and `<!-- /bench -->` in FILE.
"""

import argparse
import json
import os
import re
import sys

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def number(value):
    """Three digits that count."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def with_unit(value, unit):
    return number(value) if unit in ("ratio", "requests") else f"{number(value)} {unit.replace('us', 'µs')}"


def row(line):
    unit = line["unit"]
    judged = line.get("judged_by", "median")
    measured = with_unit(line[judged], unit)
    if line["min"] != line["max"]:
        measured += f" ({number(line['min'])} … {number(line['max'])})"
    must_be, ok = "", ""
    if "bound" in line:
        sign = {">=": "≥", "<=": "≤"}[line["must_be"]]
        must_be = f"{sign} {with_unit(line['bound'], unit)}"
        ok = "yes" if line["ok"] else "**no**"
    return f"| {line['title']} | {must_be} | {measured} | {ok} |"


def caption(machine):
    gib = lambda size: f"{number(size / (1 << 30))} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"
    return (f"{gib(machine['size'])}, {machine['rounds']} paired rounds, `memory = "
            f"{machine['fetch_memory'] >> 20}M`; {machine['cpus']} × {machine['cpu'] or 'CPU'}, "
            f"{gib(machine['memory'])}, Linux {machine['kernel']}. Medians (lowest … highest).")


def table(lines):
    text = [caption(line["machine"]) + "\n" for line in lines if "machine" in line]
    text += ["| figure | must be | measured | ok? |", "| --- | --- | --- | --- |"]
    text += [row(line) for line in lines if "figure" in line]
    text += [f"| {line['failed']} | | failed: {line['error']} | **no** |"
             for line in lines if "failed" in line]
    return "\n".join(text) + "\n"


def put_into(path, text):
    with open(path) as file:
        old = file.read()
    between = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.S)
    if len(between.findall(old)) != 1:
        sys.exit(f"{path}: not one pair of {BEGIN} and {END}")
    new = between.sub(lambda _: f"{BEGIN}\n{text}{END}", old)
    with open(path + ".new", "w") as file:
        file.write(new)
    os.rename(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--into", metavar="FILE", help="a Markdown file to put it into")
    args = parser.parse_args()
    with open(args.file) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    text = table(lines)
    if args.into:
        put_into(args.into, text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
