# SPDX-License-Identifier: Apache-2.0
"""What does not fit into the store: attested objects are served all the same, unattested ones are not."""

import pytest

from harness import cli, reader
from harness.paths import MIB
from harness.reader import Reader

LITTLE = {"size": "2M"}


@pytest.mark.parametrize("way", ["read", "small", "odd", "mmap"])
def test_an_attested_object_is_served_uncached(medium, server, mount, way):
    mounted = mount(server, store_keys=LITTLE)
    path = mounted.object(medium.attested)
    assert reader.whole(path, way) == {"sha256": medium.sha256, "size": medium.size}
    fetched = server.body_bytes(medium.blob_uri("attested"))
    assert fetched <= 1.1 * medium.size, "chunks stay in memory until the reader has passed them"
    assert len([line for line in mounted.log().splitlines() if "uncached" in line]) == 1


def test_many_readers_of_an_uncached_object(medium, server, mount):
    path = mount(server, store_keys=LITTLE).object(medium.attested)
    readers = [Reader("whole", path, way) for way in ("read", "odd", "mmap", "sendfile")]
    for one in readers:
        assert one.outcome() == {"sha256": medium.sha256, "size": medium.size}


def test_an_unattested_object_does_not_open(medium, server, mount):
    mounted = mount(server, store_keys=LITTLE)
    assert reader.whole(mounted.object(medium.unattested))["errno"] == "ENOSPC"
    assert server.body_bytes(medium.blob_uri("unattested")) <= 20 * MIB, "and is not fetched for nothing"
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256


def test_what_fits_is_kept_beside_what_does_not(medium, small, server, mount):
    mounted = mount(server, store_keys=LITTLE)
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    assert cli.record_of(mounted.store, small)["state"] == "complete"
    assert cli.record_of(mounted.store, medium)["present"] == 0
