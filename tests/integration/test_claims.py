# SPDX-License-Identifier: Apache-2.0
"""What a user says of an object, or has a server of his own say, takes nothing from others."""

import contextlib
import os
import subprocess

import pytest

from conftest import ALICE, BOB
from harness import cli, process, reader
from harness.catalogs import Catalog, entry
from harness.config import Source
from harness.imports import Claimer, claim
from harness.paths import MIB
from harness.poll import wait_until

POLICY = "caller any is local\nallow local to any with list\n"
IMPORTS = "[import]\nallow-http = yes\nallow-private = yes"
NOWHERE = "http://127.0.0.1:9/x"


@pytest.fixture
def claimer():
    with contextlib.ExitStack() as stack:
        def make(*args):
            made = Claimer(*args)
            stack.callback(made.stop)
            return made
        yield make


def size_of(path, uid):
    result = process.run(["stat", "-L", "-c", "%s", path], uid=uid)
    return int(result.stdout) if result.returncode == 0 else None


def probes(server):
    return [r for r in server.requests(probes=True) if r.is_probe]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 1 << 40, 1 << 59])
def test_a_size_that_somebody_claims(mount, server, small, size):
    """Bob's source has it; Alice said something else before. Also of what the store of an earlier start has of it."""
    mounted = mount(Source("lab", server.url, "sha256"), IMPORTS, policy=POLICY, store_keys={"size": "1G"})
    path = claim(mounted, ALICE, small.sha256, size, NOWHERE)
    assert size_of(path, ALICE) == (size if size < 1 << 44 else small.size)
    mounted.stop()
    mounted.start()
    assert reader.whole(mounted.object(small.sha256), uid=BOB)["sha256"] == small.sha256
    assert size_of(mounted.object(small.sha256), BOB) == small.size


def test_pull_of_what_somebody_claims(mount, server, small):
    mounted = mount(Source("lab", server.url, "sha256"), IMPORTS, policy=POLICY, store_keys={"size": "1G"})
    assert size_of(claim(mounted, ALICE, small.sha256, 1 << 40, NOWHERE), ALICE) == 1 << 40
    cli.ok("pull", "--store", mounted.store, small.sha256, uid=BOB)


@pytest.mark.parametrize("size", [1 << 40, 900 * MIB, 1 << 59])
def test_a_source_of_hers_says_so_too(mount, server, small, claimer, size):
    mounted = mount(Source("lab", server.url, "sha256"), IMPORTS, policy=POLICY, store_keys={"size": "1G"})
    path = claim(mounted, ALICE, small.sha256, min(size, 1 << 43), claimer(size).url)
    assert reader.whole(path, uid=ALICE)["sha256"] == small.sha256
    assert reader.whole(mounted.object(small.sha256), uid=BOB)["sha256"] == small.sha256


def test_no_source_says_another_size(mount, small, claimer):
    mounted = mount(IMPORTS, policy=POLICY, store_keys={"size": "1G"})
    path = claim(mounted, ALICE, small.sha256, 2 << 30, claimer(2 << 30).url)
    assert reader.whole(path, uid=ALICE)["errno"] == "ENOSPC"
    mounted.wait_for_log("cannot be fetched whole: it does not fit")


def test_what_a_signed_catalog_says_counts(mount, server, models, folder, small):
    """It comes later than what Alice said; no size is asked for."""
    catalog = Catalog(os.path.join(folder, "publisher"), models.root, server.url)
    line = entry(small, "A/B/m", attested=False, urls=[f"{server.url}/s/{small.sha256}"])
    mounted = mount(catalog.section, IMPORTS, policy=POLICY)
    assert size_of(claim(mounted, ALICE, small.sha256, 1 << 40, NOWHERE), ALICE) == 1 << 40
    catalog.publish([line])
    try:
        cli.ok("catalog", "refresh", "--store", mounted.store)
        server.mark()
        path = mounted.path("name", "hub", "A/B/m")
        wait_until(lambda: os.path.exists(path), "it has a name")
        assert reader.whole(path, uid=BOB)["sha256"] == small.sha256
        assert not probes(server)
    finally:
        os.unlink(catalog.path)
        os.unlink(catalog.signature)


def test_nothing_goes_for_what_nobody_has(mount, server, models):
    mine = models.make(20 * MIB, "claimed")
    mounted = mount(Source("lab", server.url, "sha256"), IMPORTS, policy=POLICY, store_keys={"size": "64M"})
    assert reader.whole(mounted.object(mine.sha256), uid=BOB)["sha256"] == mine.sha256
    path = claim(mounted, ALICE, "ab" * 32, 60 * MIB, f"{server.url}/s/{'ab' * 32}")
    assert reader.whole(path, uid=ALICE)["errno"] == "EIO"
    server.mark()
    assert reader.whole(mounted.object(mine.sha256), uid=BOB)["sha256"] == mine.sha256
    assert not server.requests()


def test_who_is_asked_for_a_size(mount, server, small, medium):
    """Of what a source has told at the look-up, nobody again; of what was imported, once."""
    mounted = mount(Source("lab", server.url, "sha256"), IMPORTS, policy=POLICY)
    assert reader.whole(mounted.object(small.sha256), uid=BOB)["sha256"] == small.sha256
    assert len(probes(server)) == 1
    path = claim(mounted, ALICE, medium.sha256, medium.size, f"{server.url}/s/{medium.sha256}")
    server.mark()
    assert size_of(path, ALICE) == medium.size
    assert not probes(server)
    assert reader.whole(path, uid=ALICE)["sha256"] == medium.sha256
    assert len(probes(server)) == 1


# ---- several users wait for one object ---------------------------------------------------------------

@pytest.mark.parametrize("goes", [False, True], ids=["stays", "goes"])
def test_a_slow_server_of_hers_holds_up_nobody(mount, server, medium, claimer, goes):
    slow = claimer(medium.size, 4096)
    mounted = mount(IMPORTS, policy=POLICY)
    hers = claim(mounted, ALICE, medium.sha256, medium.size, slow.url)
    his = claim(mounted, BOB, medium.sha256, medium.size, f"{server.url}/s/{medium.sha256}")
    alice = process.spawn(process.as_user(ALICE, ["cat", hers]), stdout=subprocess.DEVNULL)
    wait_until(lambda: any(n > 1 for n in slow.asked), "she fetches")
    bob = process.spawn(process.as_user(BOB, ["cmp", his, medium.path]))
    if goes:
        process.kill_group(alice)
    assert bob.wait(45) == 0
    if not goes:
        assert alice.wait(45) == 0


def test_nor_whom_she_has_to_share_a_source_with(mount, server, medium, claimer):
    """Bob imported nothing, and has it from a source that all are told of."""
    slow = claimer(medium.size, 4096)
    mounted = mount(Source("lab", server.url, "sha256", priority=-1000), IMPORTS, policy=POLICY)
    hers = claim(mounted, ALICE, medium.sha256, medium.size, slow.url)
    alice = process.spawn(process.as_user(ALICE, ["cat", hers]), stdout=subprocess.DEVNULL)
    wait_until(lambda: any(n > 1 for n in slow.asked), "she fetches")
    bob = process.spawn(process.as_user(BOB, ["cmp", mounted.object(medium.sha256), medium.path]))
    assert bob.wait(45) == 0
    assert alice.wait(45) == 0


def test_a_wrong_chunk_of_hers_is_found_out(mount, server, medium, claimer):
    """It came in her turn, and her source alone is blamed."""
    wrong = claimer(medium.size, 64 * MIB)
    mounted = mount(IMPORTS, policy=POLICY)
    hers = claim(mounted, ALICE, medium.sha256, medium.size, wrong.url)
    his = claim(mounted, BOB, medium.sha256, medium.size, f"{server.url}/s/{medium.sha256}")
    alice = process.spawn(process.as_user(ALICE, ["cat", hers]), stdout=subprocess.DEVNULL)
    assert reader.whole(his, uid=BOB)["sha256"] == medium.sha256
    alice.wait(45)
