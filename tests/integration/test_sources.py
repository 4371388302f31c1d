# SPDX-License-Identifier: Apache-2.0
"""How many requests a source gets at once, and which of them first."""

import hashlib
import re

from harness import reader
from harness.config import Source
from harness.paths import CHUNK, MIB
from harness.poll import wait_until
from harness.reader import Reader


def test_a_blocked_reader_does_not_wait_for_a_download(models, small, nginx, mount):
    # Six requests of 16 MiB, seconds each; four connections, one of which is not for such.
    model = models.blob(96 * MIB, "download")
    server = nginx(rate="4m")
    mounted = mount(server, fetch={"connections": 4})
    download = Reader("whole", mounted.object(model.unattested), "read")
    try:
        wait_until(lambda: re.search(r"Writing: [4-9]", server.status()),
                   "three requests are under way, and this question")
        got = reader.part(mounted.object(small.attested), CHUNK, 4096)
        assert got["sha256"] == hashlib.sha256(small.read(CHUNK, 4096)).hexdigest()
        assert server.logged_so_far(model.blob_uri("unattested")) <= 1   # the question for its size
    finally:
        download.kill()


def test_a_source_that_takes_two_at_a_time(medium, hostile, mount):
    server = hostile()
    mounted = mount(Source("lab", server.url + "/limited"))
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    log = [entry for entry in server.log() if entry["range"] != "bytes=0-0"]
    refused = sum(entry["status"] == 429 for entry in log)
    assert 1 <= refused <= len(log) // 3
    # What was refused is asked for again, what was served is not.
    served = [entry for entry in log
              if entry["status"] == 206 and entry["path"].endswith(medium.blob_uri("attested"))]
    assert sum(entry["sent"] for entry in served) == medium.size


def test_a_lookup_does_not_wait_for_readahead(models, nginx, mount):
    # The one chunk of a small object proves its size: who looks it up waits for that, some seconds at most.
    big, little = models.blob(96 * MIB, "readahead"), models.blob(10007, "little")
    server = nginx(rate="192k")
    mounted = mount(server, fetch={"connections": 4})
    stream = Reader("whole", mounted.object(big.attested), "read")
    try:
        # By then more is asked for ahead of the reader than three connections bring in a minute.
        wait_until(lambda: server.logged_so_far(big.blob_uri("attested")) >= 8 * MIB,
                   "the stream has readahead")
        got = reader.whole(mounted.object(little.attested))
        assert got["sha256"] == little.sha256
    finally:
        stream.kill()
