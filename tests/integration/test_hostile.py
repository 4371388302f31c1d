# SPDX-License-Identifier: Apache-2.0
"""Sources that lie, stall and break the protocol: a clear error or the right bytes, nothing else."""

import collections
import concurrent.futures
import hashlib
import os
import tempfile

import pytest

from harness import cli, config, mount as mount_module, reader
from harness.config import Source
from harness.hostile import Hostile
from harness.nginx import free_ports
from harness.paths import CHUNK, SANITIZER

# What no client can make right bytes of.
HOPELESS = ["flip", "other", "gzip", "stall", "stall-head", "fail", "garbage", "reset",
            "endless-headers", "redirect-loop", "redirect-file", "missing", "forbidden"]
# What a careful client may get right bytes from, or may give up on.
PERHAPS = ["norange", "wrongrange", "short", "long", "endless", "flipfirst", "slow", "stall-half",
           "early", "early-chunks", "flaky", "throttle", "lengthlie", "nolength", "unknown-size",
           "no-content-range", "redirect-other", "redirect-loopback", "redirect-relative",
           "redirect-signed", "redirect-endless"]
MANNERS = HOPELESS + PERHAPS
# What the manner does to the body of a reply; the rest never gets as far as a wrong byte.
OF_THE_BODY = ["flip", "other", "short", "long", "endless", "flipfirst", "early", "early-chunks",
               "wrongrange", "norange", "gzip", "missing", "stall-half"]

DEADLINE = 5
FETCH = {"read-deadline": f"{DEADLINE}s", "connect-timeout": "2s", "stall-timeout": "2s"}
# A size, a front and a chunk may each take their time before a read fails; and many trials run at once.
PATIENCE = 3 * DEADLINE + (60 if SANITIZER else 20)


@pytest.fixture(scope="module")
def model(models):
    return models.blob(5 * CHUNK + 1234, "hostile")


@pytest.fixture(scope="module")
def villain(models):
    """The hostile server; what it redirects to elsewhere is served honestly there."""
    elsewhere = Hostile(models.root)
    server = Hostile(models.root, "--redirect-to", elsewhere.url.replace("127.0.0.1", "localhost"))
    yield server
    server.stop()
    elsewhere.stop()


def section(name, server, manner, kind, where="all", **keys):
    """A source of MANNER. WHERE: its objects, the fronts of its trees, or all is like that."""
    bad, good = f"{server.url}/{manner}", f"{server.url}/honest"
    by = {"attested": "fsverity", "unattested": "sha256"}[kind]
    return Source(name, good if where == "tree" else bad, by,
                  tree_base=good if where == "body" else bad, **keys)


# ---- every manner ----------------------------------------------------------------------------------
#
# Most of a trial is waiting for a deadline, so they run side by side, each with a daemon of its own; a
# test waits for its trial and judges it.

Trial = collections.namedtuple("Trial", "manner kind where company")
Trial.__str__ = lambda self: "-".join(self)
Verdict = collections.namedtuple("Verdict", "outcomes alive asked log")

TRIALS = [Trial(manner, kind, "all", company) for manner in MANNERS
          for kind in ("attested", "unattested") for company in ("alone", "honest")]
TRIALS += [Trial(manner, "attested", where, "alone") for manner in OF_THE_BODY
           for where in ("body", "tree")]


def hold(trial, folder, root, model):
    """Runs in a thread of the pool."""
    elsewhere = Hostile(root)
    villain = Hostile(root, "--redirect-to", elsewhere.url.replace("127.0.0.1", "localhost"))
    sources, fetch = [section("villain", villain, trial.manner, trial.kind, trial.where,
                              priority=10)], FETCH
    ways, patience = ["read", "odd"], PATIENCE
    if trial.company == "honest":
        sources.append(section("honest", elsewhere, "honest", trial.kind, priority=1))
        fetch = dict(FETCH, **{"read-deadline": "120s"})
        ways, patience = ["read"], 240
    conf = config.write(os.path.join(folder, "weightfs.conf"), sources, fetch=fetch)
    mounted = mount_module.Mount(folder, conf)
    try:
        mounted.start()
        path = mounted.object(model.name(trial.kind))
        outcomes = [reader.whole(path, way, timeout=patience) for way in ways]
        verdict = Verdict(outcomes, mounted.alive(), len(villain.log()), mounted.log())
        mounted.stop()
        return verdict
    finally:
        mounted.clean_up()
        villain.stop()
        elsewhere.stop()


@pytest.fixture(scope="module")
def verdicts(request, base, models, model):
    """Trial → future of its verdict; all those that this session wants are under way."""
    wanted = [item.callspec.params["trial"] for item in request.session.items
              if item.module is request.module and "trial" in getattr(item, "fixturenames", ())]
    futures = {}
    with concurrent.futures.ThreadPoolExecutor(4 if SANITIZER else 8) as pool:
        for trial in wanted:
            folder = tempfile.mkdtemp(prefix="trial-", dir=base)
            os.chmod(folder, 0o755)
            futures[trial] = pool.submit(hold, trial, folder, models.root, model)
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.mark.parametrize("trial", TRIALS, ids=str)
def test_manner(verdicts, model, trial):
    verdict = verdicts[trial].result()
    print(verdict.log)
    assert verdict.alive, "the daemon lives on"
    assert verdict.asked, "the villain was asked"
    right = {"sha256": model.sha256, "size": model.size}
    for outcome in verdict.outcomes:
        if "errno" not in outcome:
            assert outcome == right
            assert trial.company == "honest" or trial.manner not in HOPELESS, \
                "from where did the bytes come?"
            continue
        assert trial.company == "alone", f"the honest source was not used: {outcome}"
        expected = {"EIO", "ETIMEDOUT"} | ({"ENOENT"} if trial.manner == "missing" else set())
        assert outcome["errno"] in expected
        # Never a wrong byte, also not before the error. (Odd reads overlap, they have no prefix.)
        if outcome is verdict.outcomes[0]:
            assert outcome["sha256_so_far"] == \
                hashlib.sha256(model.read(0, outcome["offset"])).hexdigest()


# ---- some at length --------------------------------------------------------------------------------

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
    """One lie, and whoever else has it is asked first."""
    mounted = mount(section("villain", villain, "flip", "attested", "body", priority=10),
                    Source("honest", nginx().url, priority=1), fetch=FETCH)
    for number in range(6):
        model = models.blob(2 * CHUNK + number, "liar")
        assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    villain.reset()
    model = models.blob(2 * CHUNK + 77, "liar")
    assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    assert not [line for line in villain.log() if "/flip/" in str(line)]


def test_how_long_a_liar_is_left_alone_is_told(models, villain, mount):
    mounted = mount(section("villain", villain, "flip", "attested", "body"), fetch=FETCH)
    for number in range(3):
        model = models.blob(2 * CHUNK + number, "liar")
        assert "errno" in reader.whole(mounted.object(model.attested))
    source, = cli.status(mounted.store)["sources"]
    assert source["lies"] >= 3 and source["alone"] > 500
    assert ", and left alone for " in cli.ok("explain", "--store", mounted.store, model.attested)
    assert ", and left alone for " in cli.ok("status", "--store", mounted.store)


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


def test_a_redirect_is_remembered(medium, nginx, mount):
    """A hub that signs URLs limits how often one may resolve: not once for every transfer."""
    inner = nginx()
    hub = nginx(extra=f"return 302 {inner.url}$request_uri;")
    mounted = mount(Source("hub", hub.url))
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    resolved = [r for r in hub.requests(probes=True) if r["uri"] == medium.blob_uri("attested")]
    transfers = [r for r in inner.requests(probes=True) if r["uri"] == medium.blob_uri("attested")]
    assert 1 <= len(resolved) < len(transfers)


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
