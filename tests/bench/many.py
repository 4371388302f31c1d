#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Eight processes that read eight cold objects at once, against one that reads one, as many bytes.
"""

import sys

from common import Gate, MIB, main, ratios, require_same

OBJECTS = 8


def together(bench, models):
    """Throughput of all, from the first one's begin to the last one's end."""
    bench.settle(*[model.path for model in models])
    with bench.mounted() as mount:
        gate = Gate()
        for model in models:
            gate.add("read", mount.object(model.attested))
        outcomes = gate.open()
        for model, said in zip(models, outcomes):
            require_same(said, model.whole, model.attested)
            bench.require_kept(mount, model, model.attested)
    seconds = max(said["end"] for said in outcomes) - min(said["begin"] for said in outcomes)
    return sum(said["bytes"] for said in outcomes) / seconds / MIB


def run(bench):
    one = [bench.model()]
    eight = [bench.model(bench.size // OBJECTS, f"many {index}") for index in range(OBJECTS)]
    pairs = bench.pairs("eight objects and one, MiB/s", lambda: together(bench, eight),
                        lambda: together(bench, one))
    bench.figure("many", f"{OBJECTS} processes on {OBJECTS} cold objects / one, aggregate", "ratio",
                 ratios(pairs), at_least=0.9, eight_mib_s=[a for a, _ in pairs],
                 one_mib_s=[b for _, b in pairs])
    for model in eight:
        bench.models.unpublish(model)


if __name__ == "__main__":
    sys.exit(main("many", description=__doc__))
