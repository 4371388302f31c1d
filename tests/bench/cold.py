#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cold object over loopback, read once through the mount, verified and kept; and what else does that.

By hand that is `curl -o FILE`, `openssl dgst -sha256 FILE`, and then the reading. rclone and nbdfuse
keep what they fetch, too, and do not verify it.
"""

import os
import subprocess
import sys
import time

from common import MIB, WrongBytes, main, ratios, reader, require_same, run as command
from harness import cli
from harness.poll import wait_until
import peers


class Cold:
    def __init__(self, bench):
        self.bench, self.model = bench, bench.model()

    def ours(self):
        bench, model = self.bench, self.model
        bench.settle(model.path)
        with bench.mounted() as mount:
            said = reader("read", mount.object(model.attested))
            require_same(said, model.whole, "through the mount")
            wait_until(lambda: cli.record_of(mount.store, model)["state"] == "complete",
                       "the object is complete")
            bench.require_kept(mount, model, model.attested)
        return said["seconds"]

    def by_hand(self):
        bench, model = self.bench, self.model
        bench.settle(model.path)
        with bench.folder("copy") as folder:
            copy = os.path.join(folder, "copy")
            url = f"{bench.server.url}/s/{model.sha256}"
            begin = time.clock_gettime(time.CLOCK_MONOTONIC)  # the reader's clock
            command("curl", "-sSfo", copy, url)
            digest = command("openssl", "dgst", "-sha256", "-r", copy, stdout=subprocess.PIPE).stdout
            said = reader("read", copy)
            if digest.split()[0].decode() != model.sha256:
                raise WrongBytes("curl: a wrong digest")
            require_same(said, model.whole, "curl")
        return said["end"] - begin

    def peer(self, mounted, **options):
        bench, model = self.bench, self.model
        bench.settle(model.path)
        with mounted(bench, model, bench.server.url, **options) as path:
            said = reader("read", path)
            require_same(said, model.whole, mounted.__name__)
        return said["seconds"]


def run(bench):
    cold = Cold(bench)
    pairs = bench.pairs("cold: ours and curl + openssl + read, s", cold.ours, cold.by_hand)
    bench.figure("cold_read", "cold, loopback: verified and kept / curl, openssl, read", "ratio",
                 ratios(pairs), at_most=0.65, ours_s=[a for a, _ in pairs],
                 by_hand_s=[b for _, b in pairs])
    for name, mounted, options in (("rclone", peers.rclone, peers.RCLONE),
                                   ("nbdfuse", peers.nbdfuse, peers.NBDKIT_FILTERS + peers.NBDKIT)):
        pairs = bench.pairs(f"cold: {name} and ours, s", lambda: cold.peer(mounted), cold.ours)
        bench.figure(f"cold_{name}", f"cold, loopback: {name} time / ours", "ratio", ratios(pairs),
                     at_least=4, peer_s=[a for a, _ in pairs], ours_s=[b for _, b in pairs],
                     options=options)
    bench.figure("cold_throughput", "cold, loopback: ours, verified and kept", "MiB/s",
                 [bench.model().size / MIB / b for _, b in pairs])


if __name__ == "__main__":
    sys.exit(main("cold", description=__doc__))
