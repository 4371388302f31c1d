# SPDX-License-Identifier: Apache-2.0
"""Objects fetched ahead of their use; who gives up, who may not, and what cannot be had."""

import json
import os
import re
import subprocess

import pytest

from conftest import ALICE, BOB
from harness import cli, process, reader
from harness.config import Source, sources_of
from harness.models import unknown_digest
from harness.paths import CHUNK, MIB, SOON, WEIGHTFS
from harness.poll import wait_until
from harness.reader import Reader

KINDS = ["attested", "unattested"]


def pull(mounted, *args, **kwargs):
    return cli.weightfs("pull", "--store", mounted.store, *args, **kwargs)


def start_pull(mounted, *args):
    """A client in the background; its lines of JSON come through its stdout."""
    return process.spawn([WEIGHTFS, "pull", "--json", "--store", mounted.store, *args],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def next_progress(client, more_than=0):
    """Bytes that are here, as the client was told."""
    for line in client.stdout:
        told = json.loads(line)
        if told.get("progress", -1) > more_than:
            return told["progress"]
    raise AssertionError(f"it ended: {client.stderr.read()}")


def nothing_under_way(mounted):
    flying = cli.status(mounted.store)["in_flight"]
    return flying == {"chunks": 0, "requests": 0}


@pytest.fixture
def slow(nginx):
    """8 MiB/s over four connections."""
    return nginx(rate="2m")


# ---- what comes ------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_what_was_pulled_needs_no_source(medium, server, mount, kind):
    mounted = mount(server)
    name = medium.name(kind)
    # By its fs-verity digest, or, where the audit was quick, by the other one already.
    assert cli.ok("pull", "--store", mounted.store, name).strip() in (name, medium.sha256)
    assert cli.record_of(mounted.store, medium)["state"] == "complete"
    assert server.body_bytes(medium.blob_uri(kind)) == medium.size, "each byte once"
    server.stop()
    assert reader.whole(mounted.object(name)) == {"sha256": medium.sha256, "size": medium.size}
    told = json.loads(pull(mounted, "--json", name).stdout)
    assert (told["size"], told["fetched"]) == (medium.size, 0)


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes(models, server, mount, size, kind):
    model = models.blob(size, "pull")
    mounted = mount(server)
    assert pull(mounted, model.name(kind)).returncode == 0
    server.stop()
    assert reader.whole(mounted.object(model.name(kind)))["sha256"] == model.sha256


def test_more_than_the_memory(models, server, mount):
    model = models.blob(96 * MIB, "pull-memory")
    mounted = mount(server, fetch={"memory": "8M"})
    assert pull(mounted, model.attested).returncode == 0
    assert server.body_bytes(model.blob_uri("attested")) == model.size
    server.stop()
    assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256


def test_the_rest_of_what_is_partly_here(medium, server, mount):
    mounted = mount(server)
    assert reader.part(mounted.object(medium.attested), 20 * MIB, 10)["size"] == 10
    wait_until(lambda: nothing_under_way(mounted), "readahead has come")
    before = cli.record_of(mounted.store, medium)["present"]
    told = json.loads(pull(mounted, "--json", medium.attested).stdout.splitlines()[-1])
    assert 0 < told["fetched"] <= medium.size - before
    assert server.body_bytes(medium.blob_uri("attested")) == medium.size


def test_of_several_the_others_come(small, medium, server, mount):
    mounted = mount(server)
    unknown = unknown_digest()
    result = pull(mounted, small.attested, unknown, medium.unattested)
    assert result.returncode == 1
    assert len(result.stdout.split()) == 2 and medium.sha256 in result.stdout
    assert f"{unknown}: not found" in result.stderr
    assert "1 of 3 objects did not come" in result.stderr


def test_pinned_before_it_comes(small, server, mount):
    mounted = mount(server)
    assert pull(mounted, "--pin", small.attested).returncode == 0
    assert cli.record_of(mounted.store, small)["pinned"] is True
    assert "is pinned" in cli.weightfs("rm", "--store", mounted.store, small.attested).stderr


def test_progress_on_a_terminal(medium, slow, mount):
    mounted = mount(slow)
    ours, theirs = os.openpty()
    client = process.spawn([WEIGHTFS, "pull", "--store", mounted.store, medium.unattested],
                           stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert client.wait(SOON) == 0
    steps = [int(step) for step in re.findall(rb"(\d+)% " + medium.unattested.encode(), shown)]
    assert len(steps) > 2 and steps == sorted(steps)
    assert shown.endswith(b"\r\x1b[K"), "nothing of it stays"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_daemon(medium, server, mount, kind):
    mounted = mount(server, start=False)
    arguments = ["--conf", mounted.conf, "--store", mounted.store]
    assert cli.ok("pull", *arguments, medium.name(kind)).strip() in (medium.name(kind), medium.sha256)
    assert cli.record_of(mounted.store, medium)["state"] == "complete"
    failed = cli.weightfs("pull", *arguments, unknown_digest())
    assert failed.returncode == 1 and "not found" in failed.stderr
    server.stop()
    assert reader.whole(mounted.start().object(medium.name(kind)))["sha256"] == medium.sha256


def test_without_a_daemon_it_is_one(medium, slow, mount):
    """Other commands do not have to wait until it is over."""
    mounted = mount(slow, start=False)
    client = process.spawn([WEIGHTFS, "pull", "--json", "--conf", mounted.conf, "--store",
                            mounted.store, medium.attested], stdout=subprocess.PIPE, text=True)
    next_progress(client)
    status = cli.status(mounted.store)
    assert status["pid"] == client.pid and status["mountpoint"] is None
    process.kill_group(client)
    # As after any crash: what came counts.
    assert cli.ok("pull", "--conf", mounted.conf, "--store", mounted.store, medium.attested)


# ---- who gives up ------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_one_who_dies_asks_for_nothing_more(models, slow, mount, kind):
    model = models.blob(96 * MIB, "pull-dies")
    mounted = mount(slow, fetch={"memory": "16M"})
    before = mounted.descriptors()
    client = start_pull(mounted, model.name(kind))
    next_progress(client)
    process.kill_group(client)
    wait_until(lambda: nothing_under_way(mounted), "nothing is asked for")
    wait_until(lambda: mounted.descriptors() <= before + 8, "its socket is closed")
    came = cli.record_of(mounted.store, model)["present"]
    assert came < model.size
    # The next one goes on there.
    slow.set_rate(None)
    told = json.loads(pull(mounted, "--json", model.name(kind)).stdout.splitlines()[-1])
    assert told["fetched"] <= model.size - came
    assert reader.whole(mounted.object(model.name(kind)))["sha256"] == model.sha256


@pytest.mark.parametrize("kind", KINDS)
def test_one_who_dies_does_not_disturb_a_reader(medium, slow, mount, kind):
    mounted = mount(slow)
    path = mounted.object(medium.name(kind))
    client = start_pull(mounted, medium.name(kind))
    next_progress(client)
    other = Reader("whole", path, "read")
    process.kill_group(client)
    assert other.outcome() == {"sha256": medium.sha256, "size": medium.size}


def test_one_of_two_dies(medium, slow, mount):
    mounted = mount(slow)
    clients = [start_pull(mounted, medium.attested) for _ in range(2)]
    for client in clients:
        next_progress(client)
    process.kill_group(clients[0])
    assert clients[1].wait(SOON) == 0
    clients[1].stdout.close()
    assert slow.body_bytes(medium.blob_uri("attested")) == medium.size


@pytest.mark.parametrize("kind", KINDS)
def test_the_daemon_ends_under_it(medium, server, mount, kind):
    mounted = mount(server)
    assert cli.weightfs("pull", "--store", mounted.store, unknown_digest()).returncode == 1
    server.pause()
    try:
        client = start_pull(mounted, medium.name(kind))
        wait_until(lambda: cli.status(mounted.store)["in_flight"]["requests"], "it waits")
        mounted.stop()
    finally:
        server.resume()
    assert client.wait(SOON) == 1


def test_killed_with_the_daemon_and_repeated(models, slow, mount):
    model = models.blob(64 * MIB, "pull-crash")
    slow.set_rate("256k")  # the requests are small here
    mounted = mount(slow, fetch={"memory": "8M"})
    client = start_pull(mounted, model.attested)
    came = next_progress(client, 8 * MIB)
    mounted.crash()
    assert client.wait(SOON) == 1
    slow.set_rate(None)
    slow.mark()
    mount(again=mounted)
    assert pull(mounted, model.attested).returncode == 0
    assert slow.body_bytes(model.blob_uri("attested")) <= model.size - came
    assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256


def test_removed_under_it(medium, slow, mount):
    mounted = mount(slow)
    client = start_pull(mounted, medium.attested)
    next_progress(client)
    assert cli.weightfs("rm", "--store", mounted.store, medium.attested).returncode == 0
    assert client.wait(SOON) == 1
    assert re.search(f"{medium.attested}: ", client.stderr.read())


# ---- what cannot be had --------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_no_room(medium, server, mount, kind):
    mounted = mount(server, store_keys={"size": "2M"})
    result = pull(mounted, medium.name(kind))
    assert result.returncode == 1
    assert f"{medium.name(kind)}: there is no room for it in the store" in result.stderr
    assert server.body_bytes(medium.blob_uri(kind)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_lies(medium, hostile, mount, kind):
    villain = hostile()
    mounted = mount(Source("liar", villain.url + "/other", tree_base=villain.url + "/honest"),
                    Source("liar-sha256", villain.url + "/other", "sha256"))
    result = pull(mounted, medium.name(kind))
    assert result.returncode == 1
    assert f"{medium.name(kind)}: no source gave what is right" in result.stderr, result.stderr
    assert cli.record_of(mounted.store, medium)["present"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_stall_ends(medium, hostile, mount, kind):
    villain = hostile()
    mounted = mount(*sources_of(villain, "/gated"),
                    fetch={"read-deadline": "1s", "stall-timeout": "60s"})
    try:
        result = pull(mounted, medium.name(kind))
        assert result.returncode == 1
        assert re.search(f"{medium.name(kind)}: (nothing came for a long time|not found)", result.stderr)
    finally:
        villain.open_gate()
    wait_until(lambda: nothing_under_way(mounted), "nothing is asked for")


def test_a_server_that_is_down_is_named(medium, nginx, mount):
    """While it is waited for, not only at the end."""
    server = nginx()
    mounted = mount(server, fetch={"read-deadline": "6s"})
    assert not reader.part(mounted.object(medium.attested), 0, 1).get("errno")
    server.stop()
    result = pull(mounted, medium.attested)
    waiting, failed = result.stderr.splitlines()[:2]
    assert result.returncode == 1 and waiting.startswith("weightfs: waiting for "), result.stderr
    assert "onnect" in waiting and "onnect" in failed, result.stderr


def test_offline(small, medium, server, mount):
    mounted = mount(server)
    assert pull(mounted, small.attested).returncode == 0
    assert reader.part(mounted.object(medium.attested), 0, 10)["size"] == 10
    mounted.stop()
    mounted.command[mounted.command.index("-o") + 1] += ",offline"
    mount(again=mounted)
    assert pull(mounted, small.attested).returncode == 0, "it is here"
    for name, reason in ((medium.attested, "offline"), (unknown_digest(), "not found")):
        result = pull(mounted, name)
        assert result.returncode == 1 and f"{name}: " in result.stderr and reason in result.stderr


def test_what_is_no_digest(mount):
    mounted = mount()
    assert pull(mounted).returncode == 2
    assert pull(mounted, "--nothing").returncode == 2
    result = pull(mounted, "model.gguf")
    assert result.returncode == 1 and "not a digest: model.gguf" in result.stderr


# ---- who may -------------------------------------------------------------------------------------------

def test_others_pull_what_the_policy_lets_them_fetch(small, medium, server, mount):
    policy = ("caller uid 12001 is https://app.example.com\n"
              "caller uid 12002 is worker\n"
              f"set secret sha256-{medium.sha256} fsverity-{medium.fsverity}\n"
              "deny worker to secret\nallow worker to any\n"
              "caller any is local\nallow local to any with list\n"
              "allow https://app.example.com to any\n")
    mounted = mount(server, policy=policy)
    os.chmod(mounted.store, 0o711)  # the socket lies in the store here
    assert pull(mounted, small.sha256, uid=BOB).returncode == 0
    assert "worker (uid 12002)" in str(cli.record_of(mounted.store, small)["origins"])
    # Denied, stored or not, and unknown look alike.
    told = {name: pull(mounted, name, uid=BOB) for name in (medium.attested, unknown_digest())}
    assert pull(mounted, medium.attested).returncode == 0
    told["stored"] = pull(mounted, medium.attested, uid=BOB)
    assert {result.returncode for result in told.values()} == {1}
    assert len({re.sub("[0-9a-f]{64}|fsverity-", "", r.stderr) for r in told.values()}) == 1
    # Web origins run no commands, and nobody else pins.
    assert "not found" in pull(mounted, small.sha256, uid=ALICE).stderr
    assert "only for root" in pull(mounted, "--pin", small.sha256, uid=BOB).stderr
    for command in ("reload", "metrics"):
        result = cli.weightfs(command, "--store", mounted.store, uid=BOB)
        assert result.returncode == 1 and "only for root" in result.stderr and not result.stdout


def test_who_may_open_what_is_cached_pulls_nothing(small, medium, server, mount):
    mounted = mount(server, policy="caller uid 12002 is worker\nallow worker to any with cached\n"
                                   "caller any is local\nallow local to any\n")
    os.chmod(mounted.store, 0o711)
    assert pull(mounted, small.attested).returncode == 0
    assert pull(mounted, small.attested, uid=BOB).returncode == 0
    assert "not found" in pull(mounted, medium.attested, uid=BOB).stderr
    assert server.body_bytes(medium.blob_uri("attested")) == 0


def test_the_next_one_waits_for_what_is_being_finished(models, server, mount):
    """The first is audited, and so is open, when the second needs its room."""
    first, second = (models.blob(24 * MIB, f"pulled {number}") for number in range(2))
    mounted = mount(server, store_keys={"size": "30M"})
    assert cli.weightfs("pull", "--store", mounted.store, first.attested, second.attested).returncode == 0
    assert cli.record_of(mounted.store, second)["state"] == "complete"
    assert cli.record_of(mounted.store, first) is None
