# SPDX-License-Identifier: Apache-2.0
"""Offline, by configuration or because there is no network: what is here is read as ever, and at once."""

import contextlib
import os
import time

import pytest

from harness import process, reader
from harness.config import sources_of
from harness.mount import Booted, Mount
from harness.models import unknown_digest
from harness.nginx import free_ports
from harness.paths import CHUNK, KIB, MIB, SANITIZER
from harness.poll import holds_for
from harness.reader import Reader

# Less than any timeout, more than anything takes that does not wait for one.
AT_ONCE = 20 if SANITIZER else 4
FAR = "192.0.2.1"  # for documentation: nobody's


@contextlib.contextmanager
def at_once():
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < AT_ONCE


class Stored:
    """A store with two objects that are complete, the beginning of a third, and the name of a fourth."""

    def __init__(self, models, online):
        self.attested, self.unattested = models.blob(5 * CHUNK + 1, "offline"), models.blob(4097, "offline")
        self.partial, self.known = models.blob(32 * MIB, "offline"), models.blob(CHUNK, "offline, known")
        assert reader.whole(online.object(self.attested.attested))["sha256"] == self.attested.sha256
        assert reader.whole(online.object(self.unattested.unattested))["sha256"] == self.unattested.sha256
        assert reader.part(online.object(self.partial.attested), 0, 100)["size"] == 100
        assert os.stat(online.object(self.known.unattested)).st_size == self.known.size
        online.stop()
        self.path = online.store

    def check_what_is_here(self, mounted):
        for model, name in ((self.attested, self.attested.attested), (self.attested, self.attested.sha256),
                            (self.unattested, self.unattested.unattested)):
            with at_once():
                assert reader.whole(mounted.object(name)) == {"sha256": model.sha256, "size": model.size}
        with at_once():
            assert len(reader.listing(mounted.path("hash"))) == 3
        with at_once():
            assert os.stat(mounted.object(self.partial.attested)).st_size == self.partial.size
            assert os.stat(mounted.object(self.known.unattested)).st_size == self.known.size
        self.check_beginning(mounted)

    def check_beginning(self, mounted):
        with at_once():
            with open(mounted.object(self.partial.attested), "rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                assert os.pread(file.fileno(), 64 * KIB, 0) == self.partial.read(0, 64 * KIB)


@pytest.fixture
def stored(models, server, mount):
    return Stored(models, mount(server))


@pytest.mark.parametrize("how", ["option", "configuration"])
def test_offline_by_choice(stored, server, mount, how):
    server.mark()
    if how == "option":
        mounted = mount(server, store=stored.path, options=["offline"])
    else:
        mounted = mount(server, store=stored.path, fetch={"offline": "yes"})
    stored.check_what_is_here(mounted)
    with at_once():
        assert reader.part(mounted.object(stored.partial.attested), 30 * MIB, 100) == {"errno": "ENODATA"}
    with at_once():  # across the end of what is here
        outcome = reader.whole(mounted.object(stored.partial.attested))
        assert outcome["errno"] == "ENODATA" and outcome["at"] == "read"
    with at_once():
        outcome = reader.whole(mounted.object(stored.known.unattested))
        assert outcome["errno"] == "ENODATA" and outcome["at"] == "open"
    with at_once():
        for name in (unknown_digest(), f"fsverity-{unknown_digest()}", f"sha256:{unknown_digest()}"):
            assert reader.whole(mounted.object(name))["errno"] == "ENOENT"
    assert not server.requests(probes=True), "offline means no request"


def test_offline_after_another_boot(stored, server, mount):
    """Chunks of partial objects are verified again; what does not verify is as good as absent."""
    mounted = mount(server, store=stored.path, options=["offline"], kind=Booted)
    stored.check_what_is_here(mounted)
    mounted.stop()
    name = stored.partial.attested
    with open(os.path.join(stored.path, "objects", stored.partial.fsverity[:2], name), "r+b") as file:
        file.write(bytes(100))
    mounted.start()
    assert reader.part(mounted.object(name), 0, 100) == {"errno": "ENODATA"}


# A wire with nobody at its other end: packets are sent, and never answered.
SETUP = {"no route": "true",
         "black hole": "ip link add wire type veth peer name end && ip addr add 192.0.2.9/24 dev wire && "
                       "ip link set wire up && ip link set end up && "
                       f"ip neigh add {FAR} lladdr 02:00:00:00:00:01 dev wire"}


class Alone(Mount):
    """A daemon in a network namespace of its own. SETUP: shell commands there, first."""

    def __init__(self, *args, setup=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.command = ["unshare", "--net", "sh", "-c", f'{setup} && exec "$@"', "sh"] + self.command


@pytest.mark.parametrize("network", ["refused", "deaf", "no route", "black hole"])
def test_no_network(stored, hostile, mount, network):
    """Many wait for what cannot come, more than there are threads: who wants what is here does not notice."""
    if network in SETUP:
        if process.run(["unshare", "--net", "sh", "-c", SETUP[network]]).returncode:
            pytest.skip("no network namespaces, or no veth")
        mounted = mount(*sources_of(f"http://{FAR}"), store=stored.path, kind=Alone, setup=SETUP[network])
    elif network == "deaf":
        mounted = mount(*sources_of(hostile("--never-accept").url + "/honest"), store=stored.path)
    else:
        mounted = mount(*sources_of(f"http://127.0.0.1:{free_ports(1)[0]}"), store=stored.path)
    missing = mounted.object(stored.partial.attested)
    waiting = [Reader("part", missing, (17 + number) * MIB, 100) for number in range(12)]
    waiting += [Reader("whole", mounted.object(stored.known.unattested))]
    lookups = [Reader("part", mounted.object(unknown_digest(f"{number}")), 0, 1) for number in range(12)]
    holds_for(mounted.alive, 0.5, "while they come")
    stored.check_what_is_here(mounted)
    for one in lookups:
        assert one.outcome()["errno"] in ("ENOENT", "EIO", "ETIMEDOUT")
    stored.check_what_is_here(mounted)
    for one in waiting:
        one.kill()
    assert mounted.alive()
