# SPDX-License-Identifier: Apache-2.0
"""A source that goes away and comes back: readers wait, and finish; killed readers go at once."""

import time

import pytest

from conftest import NOBODY
from harness.config import sources_of
from harness.paths import LONG, MIB
from harness.poll import holds_for, wait_until
from harness.reader import Reader

OUTAGE = 60 if LONG else 5
# Short enough that a stopped source is noticed within the short outage.
FETCH = {"connect-timeout": "2s", "stall-timeout": "2s"}


@pytest.fixture
def model(models):
    return models.blob(24 * MIB + 5, "outage")


@pytest.fixture
def slow(nginx):
    """Fast enough to get on, slow enough that an outage falls into the middle."""
    return nginx(rate="3m")


@pytest.mark.parametrize("kind,way,outage", [
    ("attested", "read", "restart"), ("attested", "mmap", "restart"),
    ("attested", "read", "SIGSTOP"), ("attested", "mmap", "SIGSTOP"),
    ("unattested", "read", "restart"), ("unattested", "mmap", "SIGSTOP")])
def test_readers_outlive_an_outage(model, slow, mount, kind, way, outage):
    mounted = mount(slow, fetch=dict(FETCH, connections=2))
    reading = Reader("whole", mounted.object(model.name(kind)), way)
    if kind == "attested":
        reading.wait_for_progress(2 * MIB)
    else:  # nothing is released before all of it is here
        wait_until(lambda: "Writing: 1 " not in slow.status(), "the download is under way")
    if outage == "restart":
        slow.stop()
    else:
        slow.pause()
    holds_for(reading.running, OUTAGE, "the reader waits during the outage")
    if outage == "restart":
        slow.rate = None
        slow.start()
    else:
        slow.resume()
    assert reading.outcome() == {"sha256": model.sha256, "size": model.size}


@pytest.mark.parametrize("kind,way", [("attested", "read"), ("attested", "mmap"),
                                      ("unattested", "read")])
def test_a_killed_reader_goes_at_once(model, slow, mount, kind, way):
    mounted = mount(slow, fetch=FETCH)
    path = mounted.object(model.name(kind))
    reading = Reader("whole", path, way, uid=NOBODY)
    if kind == "attested":
        reading.wait_for_progress(1 * MIB)
    else:
        wait_until(lambda: "Writing: 1 " not in slow.status(), "the download is under way")
    slow.pause()
    holds_for(reading.running, 1, "the reader waits")
    begin = time.monotonic()
    reading.kill()
    assert time.monotonic() - begin < 2, "kill -9 frees the reader at once"
    slow.resume()
    # Its death has harmed nobody.
    assert Reader("whole", path, way).outcome() == {"sha256": model.sha256, "size": model.size}


def test_one_of_many_readers_killed_does_not_disturb_the_others(model, slow, mount):
    path = mount(slow, fetch=FETCH).object(model.attested)
    readers = [Reader("whole", path, "read") for _ in range(4)]
    readers[0].wait_for_progress(1 * MIB)
    readers[0].kill()
    for one in readers[1:]:
        assert one.outcome() == {"sha256": model.sha256, "size": model.size}
    assert slow.body_bytes(model.blob_uri("attested")) == model.size


def test_the_deadline_of_a_read_ends_the_wait(model, slow, mount):
    mounted = mount(slow, fetch=dict(FETCH, **{"read-deadline": "3s"}))
    reading = Reader("whole", mounted.object(model.attested), "read")
    reading.wait_for_progress(1 * MIB)
    slow.pause()
    outcome = reading.outcome(timeout=60)
    slow.resume()
    assert outcome["errno"] == "ETIMEDOUT" and outcome["at"] == "read"
    # The next reader is served.
    assert Reader("whole", mounted.object(model.attested), "read").outcome()["sha256"] == \
        model.sha256


def test_a_second_source_takes_over(model, nginx, mount):
    first, second = nginx(rate="3m"), nginx()
    mounted = mount(*sources_of(first, name="first", priority=10),
                    *sources_of(second, name="second", priority=1), fetch=FETCH)
    reading = Reader("whole", mounted.object(model.attested), "read")
    reading.wait_for_progress(1 * MIB)
    first.stop()
    assert reading.outcome() == {"sha256": model.sha256, "size": model.size}


def test_mounting_does_not_wait_for_the_network(nginx, mount, medium):
    server = nginx()
    server.pause()
    mounted = mount(server, fetch=FETCH)
    assert mounted.alive()
    server.resume()
    assert Reader("whole", mounted.object(medium.attested), "read").outcome()["sha256"] == \
        medium.sha256


def test_the_daemon_ends_on_sigterm_with_readers_waiting(model, slow, mount):
    """Every waiter is answered, the mount goes, and the exit status is 0."""
    mounted = mount(slow, fetch=FETCH)
    reading = Reader("whole", mounted.object(model.attested), "read")
    reading.wait_for_progress(1 * MIB)
    slow.pause()
    mounted.stop()
    assert "errno" in reading.outcome(timeout=30)
    slow.resume()
