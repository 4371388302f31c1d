#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cold object over a long link: 50 ms there and back, 25 MB/s for each connection, imitated.

One curl is not given the whole object: its rate is the link's all the time, and would only take long.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time

from common import READ_TIMEOUT, SHAPER, main, process, ratios, reader, require_same, run as command
from harness import cli
from harness.poll import wait_until
import peers

RATE = 25_000_000  # bytes a second
DELAY = 25         # ms each way
PARALLEL = 16
MB = 1e6

# What is fastest over a long link is not what is fastest over loopback: larger blocks ask less often.
NBDKIT_FILTERS = ["--filter=cow"]
NBDKIT = ["cow-on-read=true", "cow-block-size=4M"]


@contextlib.contextmanager
def shaper(bench, seen=None):
    """The URL of the server, far away. SEEN is filled with what the proxy counted."""
    child = process.spawn([SHAPER, str(bench.server.port), str(RATE), str(DELAY)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{child.stdout.readline().split()[1]}"
        out, _ = child.communicate(timeout=READ_TIMEOUT)
        if seen is not None:
            seen.append(json.loads(out))
    finally:
        process.kill_group(child)


class Link:
    def __init__(self, bench):
        self.bench, self.model = bench, bench.model()
        self.seen = []
        self.part = bench.size // 16
        self.part_expected = reader("read", self.model.path, self.part)

    def ours(self):
        """The whole object, verified and kept; bytes a second."""
        bench, model = self.bench, self.model
        bench.settle(model.path)
        with shaper(bench, self.seen) as url, bench.mounted(url) as mount:
            said = reader("read", mount.object(model.attested))
            require_same(said, model.whole, "through the mount")
            wait_until(lambda: cli.record_of(mount.store, model)["state"] == "complete",
                       "the object is complete")
            bench.require_kept(mount, model, model.attested)
        return said["bytes"] / said["seconds"] / MB

    def our_part(self):
        bench, model = self.bench, self.model
        bench.settle(model.path)
        with shaper(bench) as url, bench.mounted(url) as mount:
            said = reader("read", mount.object(model.attested), self.part)
            require_same(said, self.part_expected, "through the mount")
        return said["seconds"]

    def peer_part(self, mounted, **options):
        bench, model = self.bench, self.model
        bench.settle(model.path)
        with shaper(bench) as url, mounted(bench, model, url, **options) as path:
            said = reader("read", path, self.part)
            require_same(said, self.part_expected, mounted.__name__)
        return said["seconds"]

    def one_curl(self):
        """An eighth of the object, to a file as ours."""
        self.bench.settle(self.model.path)
        part = self.model.size // 8
        with self.bench.folder("copy") as folder, shaper(self.bench) as url:
            begin = time.monotonic()
            command("curl", "-sSfr", f"0-{part - 1}", "-o", f"{folder}/copy",
                    f"{url}/s/{self.model.sha256}")
            seconds = time.monotonic() - begin
            require_same(reader("read", f"{folder}/copy"), reader("read", self.model.path, part),
                         "curl")
        return part / seconds / MB

    def parallel_curls(self):
        """Whether the proxy carries as many connections: nothing is kept, as only it is asked."""
        self.bench.settle(self.model.path)
        part = self.model.size // PARALLEL
        with shaper(self.bench) as url:
            begin = time.monotonic()
            children = [process.spawn(["curl", "-sSfr", f"{index * part}-{(index + 1) * part - 1}",
                                       "-o", "/dev/null", f"{url}/s/{self.model.sha256}"])
                        for index in range(PARALLEL)]
            if any(child.wait(READ_TIMEOUT) != 0 for child in children):
                raise RuntimeError("curl failed")
            seconds = time.monotonic() - begin
        return part * PARALLEL / seconds / MB


def run(bench):
    link = Link(bench)
    pairs = bench.pairs("long link: ours and one curl, MB/s", link.ours, link.one_curl)
    bench.figure("link", "50 ms round trip, 25 MB/s a connection: ours / one curl", "ratio",
                 ratios(pairs), at_least=8, ours_mb_s=[a for a, _ in pairs],
                 curl_mb_s=[b for _, b in pairs],
                 connections=[seen["at_once"] for seen in link.seen[1:]])
    # If this is not reached, the proxy or the machine is the limit, and not what is measured above.
    carried = bench.each("the proxy, MB/s", link.parallel_curls)
    one = statistics.median([b for _, b in pairs])
    bench.figure("link_proxy", f"the same link, to check the proxy: {PARALLEL} curls / one curl", "ratio",
                 [rate / one for rate in carried], at_least=12, mb_s=carried)
    for name, mounted, options in (
            ("rclone", peers.rclone, {"options": peers.RCLONE}),
            ("nbdfuse", peers.nbdfuse, {"filters": NBDKIT_FILTERS, "options": NBDKIT})):
        pairs = bench.pairs(f"long link, the first {link.part >> 20} MiB: {name} and ours, s",
                            lambda: link.peer_part(mounted, **options), link.our_part)
        bench.figure(f"link_{name}", f"the same link, the first sixteenth: {name} time / ours",
                     "ratio", ratios(pairs), at_least=4, peer_s=[a for a, _ in pairs],
                     ours_s=[b for _, b in pairs], options=sum(options.values(), []))


if __name__ == "__main__":
    sys.exit(main("link", description=__doc__))
