# SPDX-License-Identifier: Apache-2.0
"""Sources that lie, stall and break the protocol: a clear error or the right bytes, nothing else."""

import hashlib
import os

import pytest

from harness import reader
from harness.config import Source
from harness.nginx import free_ports
from harness.paths import CHUNK, SANITIZER

# What no client can make right bytes of.
HOPELESS = ["flip", "other", "stall", "fail", "gzip", "redirect-loop", "missing", "forbidden"]
# What a careful client may get right bytes from, or may give up on.
PERHAPS = ["norange", "wrongrange", "short", "long", "endless", "flipfirst", "slow", "early",
           "early-chunks", "flaky", "throttle", "redirect-other", "redirect-loopback", "lengthlie"]
MANNERS = HOPELESS + PERHAPS

DEADLINE = 5
FETCH = {"read-deadline": f"{DEADLINE}s", "connect-timeout": "2s", "stall-timeout": "2s"}
# A size, a front and a chunk may each take their time before a read fails.
PATIENCE = 3 * DEADLINE + (30 if SANITIZER else 10)


@pytest.fixture
def model(models):
    return models.blob(5 * CHUNK + 1234, "hostile")


@pytest.fixture
def villain(hostile, nginx):
    """The hostile server; what it redirects to elsewhere is served honestly there."""
    return hostile("--redirect-to", nginx().url)


def section(name, server, manner, kind, where="all", **keys):
    """A source of MANNER. WHERE: its objects, the fronts of its trees, or all is like that."""
    bad, good = f"{server.url}/{manner}", f"{server.url}/honest"
    by = {"attested": "fsverity", "unattested": "sha256"}[kind]
    return Source(name, good if where == "tree" else bad, by,
                  tree_base=good if where == "body" else bad, **keys)


def assert_clear(outcome, model, manner):
    """The right bytes or an errno that says what happened; and what was read before is right."""
    if "errno" not in outcome:
        assert outcome == {"sha256": model.sha256, "size": model.size}
        assert manner not in HOPELESS, "from where did the bytes come?"
        return
    assert outcome["errno"] in ("EIO", "ETIMEDOUT", "ENOENT")
    if outcome["errno"] == "ENOENT":
        assert manner == "missing"
    # Never a wrong byte, also not before the error.
    so_far = hashlib.sha256(model.read(0, outcome["offset"])).hexdigest()
    assert outcome["sha256_so_far"] == so_far


@pytest.mark.parametrize("kind,where", [("attested", "all"), ("attested", "body"),
                                        ("attested", "tree"), ("unattested", "all")])
@pytest.mark.parametrize("manner", MANNERS)
def test_alone(model, villain, mount, manner, kind, where):
    mounted = mount(section("villain", villain, manner, kind, where), fetch=FETCH)
    path = mounted.object(model.name(kind))
    assert_clear(reader.whole(path, timeout=PATIENCE), model, manner)
    assert_clear(reader.whole(path, "odd", timeout=PATIENCE), model, manner)
    assert mounted.alive()
    os.listdir(mounted.path("hash"))


@pytest.mark.parametrize("kind", ["attested", "unattested"])
@pytest.mark.parametrize("manner", MANNERS)
def test_beside_an_honest_one(model, villain, nginx, mount, manner, kind):
    """Asked first as it is, it delays and does not harm."""
    honest = nginx()
    by = {"attested": "fsverity", "unattested": "sha256"}[kind]
    mounted = mount(section("villain", villain, manner, kind, priority=10),
                    Source("honest", honest.url, by, priority=1),
                    fetch=dict(FETCH, **{"read-deadline": "60s"}))
    assert reader.whole(mounted.object(model.name(kind)), timeout=120) == \
        {"sha256": model.sha256, "size": model.size}
    assert villain.log(), "the villain was asked"


@pytest.mark.parametrize("manner", ["flip", "stall", "endless"])
def test_a_liar_does_not_fill_the_memory(big, villain, mount, manner):
    """The body is cut off where it should have ended."""
    mounted = mount(section("villain", villain, manner, "attested", "body"),
                    fetch=dict(FETCH, memory="16M"))
    outcome = reader.whole(mounted.object(big.attested), timeout=240)
    assert "errno" in outcome or outcome["sha256"] == big.sha256
    if not SANITIZER:
        assert mounted.memory_peak() <= 80 << 20


def test_lies_are_logged_with_digest_and_source(model, villain, mount):
    mounted = mount(section("villain", villain, "flip", "attested", "body"), fetch=FETCH)
    assert reader.whole(mounted.object(model.attested), timeout=PATIENCE)["errno"] == "EIO"
    line = mounted.wait_for_log("villain")
    assert model.fsverity[:8] in mounted.log(), line


def test_a_liar_is_left_alone_after_some_lies(models, villain, nginx, mount):
    """Three lies, and it is not asked again for a while."""
    mounted = mount(section("villain", villain, "flip", "attested", "body", priority=10),
                    Source("honest", nginx().url, priority=1), fetch=FETCH)
    for number in range(6):
        model = models.blob(2 * CHUNK + number, "liar")
        assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    villain.reset()
    model = models.blob(2 * CHUNK + 77, "liar")
    assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    assert not [line for line in villain.log() if "/flip/" in str(line)]


def test_nobody_listens(model, mount):
    mounted = mount(Source("nowhere", f"http://127.0.0.1:{free_ports(1)[0]}"), fetch=FETCH)
    outcome = reader.whole(mounted.object(model.attested), timeout=PATIENCE)
    assert outcome["errno"] in ("EIO", "ETIMEDOUT")


def test_a_server_that_never_accepts(model, hostile, mount):
    mounted = mount(Source("deaf", hostile("--never-accept").url + "/honest"), fetch=FETCH)
    outcome = reader.whole(mounted.object(model.attested), timeout=PATIENCE)
    assert outcome["errno"] in ("EIO", "ETIMEDOUT")
    assert mounted.alive()


def test_loopback_is_refused_unless_allowed(model, server, mount):
    mounted = mount(Source("private", server.url, allow_private="no"), fetch=FETCH)
    outcome = reader.whole(mounted.object(model.attested), timeout=PATIENCE)
    assert outcome["errno"] in ("EIO", "ETIMEDOUT")
    assert not server.requests(probes=True), "no connection was made"


def test_a_redirect_does_not_open_private_addresses(model, nginx, mount):
    """A hub that sends us to the machine's own services."""
    inner = nginx()
    outer = nginx(extra=f"return 302 {inner.url}$request_uri;")
    refused = mount(Source("outer", outer.url, allow_private="no"), fetch=FETCH)
    assert "errno" in reader.whole(refused.object(model.attested), timeout=PATIENCE)
    assert not inner.requests(probes=True)
    allowed = mount(Source("outer", outer.url), fetch=FETCH)
    assert reader.whole(allowed.object(model.attested))["sha256"] == model.sha256


def test_what_a_source_learns_of_us(model, server, mount):
    """No Referer, no Origin, no content coding asked for, one User-Agent."""
    mounted = mount(server)
    reader.whole(mounted.object(model.attested))
    reader.whole(mounted.object(model.unattested), uid=12001)
    requests = server.requests(probes=True)
    assert {r["referer"] for r in requests} == {""} == {r["origin"] for r in requests}
    assert {r["encoding"] for r in requests} <= {"", "identity"}
    agents = {r["agent"] for r in requests}
    assert len(agents) == 1 and agents.pop().startswith("weightfs")


@pytest.mark.parametrize("manner", ["flip", "forbidden"])
def test_recovery_when_an_honest_source_comes(model, villain, server, mount, manner):
    """An error is not remembered as the truth about the object."""
    bad = mount(section("villain", villain, manner, "attested", "body"), fetch=FETCH)
    assert "errno" in reader.whole(bad.object(model.attested), timeout=PATIENCE)
    bad.stop()
    good = mount(server, store=bad.store)
    assert reader.whole(good.object(model.attested)) == {"sha256": model.sha256, "size": model.size}
