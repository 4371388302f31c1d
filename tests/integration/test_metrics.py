# SPDX-License-Identifier: Apache-2.0
"""What the daemon counts, read by Prometheus' own parser; status; reload."""

import json
import os
import re
import socket
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import BOB
from harness import cli, process, reader
from harness.config import Source, sources_of
from harness.models import chunks
from harness.paths import CHUNK, MOUNT_OPTIONS, SOON, WEIGHTFS
from harness.poll import wait_until


def metrics(mounted):
    """{(name, value of the label or None): value}, as the text says it."""
    text = cli.ok("metrics", "--store", mounted.store)
    return {(sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples}


# ---- the format ------------------------------------------------------------------------------------

def test_the_format(small, server, mount):
    mounted = mount(server)
    reader.whole(mounted.object(small.attested))
    text = cli.ok("metrics", "--store", mounted.store)
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(set(names)) == len(names) > 20
    for family in families:
        assert family.documentation.endswith((".", "1.")), family
        assert family.type in ("counter", "gauge"), family
        assert re.fullmatch("(weightfs|process)(_[a-z]+)+", family.name), family.name
        assert family.samples
        for sample in family.samples:
            # The naming rules: https://prometheus.io/docs/practices/naming/
            assert sample.name.endswith("_total") == (family.type == "counter"), sample
            assert not re.search("_(ms|us|kb|mb|kib|mib|percent)(_|$)", sample.name), sample
            assert len(sample.labels) <= 1 and sample.value >= 0
    # HELP and TYPE stand before the samples of each, once, and no line is of another kind.
    for line in text.splitlines():
        assert re.fullmatch(r'# HELP [a-z_]+ .+|# TYPE [a-z_]+ (counter|gauge)|'
                            r'[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.e+-]+', line), line
    assert text.endswith("\n")


def test_json_says_the_same(server, mount):
    mounted = mount(server)
    from_json = {}
    for line in cli.ok("metrics", "--json", "--store", mounted.store).splitlines():
        metric = json.loads(line)
        assert set(metric) == {"name", "type", "help", "samples"}
        for sample in metric["samples"]:
            from_json[(metric["name"], *sample["labels"].values())] = sample["value"]
    from_text = metrics(mounted)
    assert set(from_json) == set(from_text)
    assert from_json[("weightfs_store_limit_bytes",)] == from_text[("weightfs_store_limit_bytes",)]


def test_what_has_a_meaning_in_the_format_is_escaped(folder):
    """Names of sources are harmless; a daemon that says something else is stood in for."""
    value, text = 'a"b\\c\nd é', "back\\slash, new\nline"
    told = {"name": "weightfs_x", "type": "gauge", "help": text,
            "samples": [{"labels": {"source": value}, "value": 0.25}]}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.join(folder, "control.sock"))
        server.listen()
        client = process.spawn([WEIGHTFS, "metrics", "--store", folder], stdout=subprocess.PIPE, text=True)
        connection, _ = server.accept()
        with connection:
            assert json.loads(connection.makefile().readline()) == {"op": "metrics"}
            connection.sendall(f'{json.dumps(told)}\n{{"done":true}}\n'.encode())
        printed, _ = client.communicate(timeout=SOON)
    assert client.returncode == 0
    family, = text_string_to_metric_families(printed)
    assert family.documentation == text
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"source": value}, 0.25)]


# ---- what is counted -------------------------------------------------------------------------------

def test_a_cold_read_and_warm_ones(small, server, mount):
    mounted = mount(server, options=["nopassthrough"] if "nopassthrough" not in MOUNT_OPTIONS else ())
    path = mounted.object(small.attested)
    assert reader.whole(path)["sha256"] == small.sha256
    cold = metrics(mounted)
    assert cold[("weightfs_opens_total", "cached")] == 1
    assert cold[("weightfs_complete_opens_total",)] == 0
    assert cold[("weightfs_chunks_verified_total",)] == chunks(small.size)
    assert cold[("weightfs_chunks_failed_total",)] == 0
    assert sum(cold[("weightfs_read_bytes_total", kind)] for kind in ("store", "memory", "source")) >= \
        small.size
    assert cold[("weightfs_read_bytes_total", "source")] > 0
    assert cold[("weightfs_source_received_bytes_total", "lab")] >= small.size
    assert cold[("weightfs_source_requests_total", "lab")] >= 2
    wait_until(lambda: cli.record_of(mounted.store, small)["state"] == "complete", "it is complete")
    assert reader.whole(mounted.object(small.attested))["sha256"] == small.sha256
    warm = metrics(mounted)
    assert warm[("weightfs_complete_opens_total",)] == 1
    assert warm[("weightfs_opens_total", "cached")] == 2
    assert warm[("weightfs_read_bytes_total", "source")] == cold[("weightfs_read_bytes_total", "source")]
    assert warm[("weightfs_read_bytes_total", "store")] >= small.size
    assert warm[("weightfs_in_flight_chunks",)] == warm[("weightfs_waiting_requests",)] == 0
    assert (warm[("weightfs_store_objects",)], warm[("weightfs_store_complete_objects",)],
            warm[("weightfs_store_used_bytes",)]) == (1, 1, small.size)
    hits = cli.status(mounted.store)["hits"]
    assert hits["opens"] == 0.5 and 0.4 < hits["bytes"] < 1


def test_liars_and_failures(small, hostile, mount):
    villain = hostile()
    mounted = mount(Source("liar", villain.url + "/flip", tree_base=villain.url + "/honest"))
    assert reader.whole(mounted.object(small.attested))["errno"] == "EIO"
    told = metrics(mounted)
    assert told[("weightfs_chunks_failed_total",)] >= 1
    assert told[("weightfs_source_lies_total", "liar")] >= 1
    assert told[("weightfs_read_errors_total", "EIO")] >= 1


def test_what_waits_now(medium, hostile, mount):
    villain = hostile()
    mounted = mount(*sources_of(villain, "/gated"))
    waiting = reader.Reader("whole", mounted.object(medium.unattested), "read")
    try:
        wait_until(lambda: metrics(mounted)[("weightfs_waiting_requests",)] == 1, "it is parked")
        assert cli.status(mounted.store)["in_flight"]["requests"] == 1
    finally:
        villain.open_gate()
    assert waiting.outcome()["sha256"] == medium.sha256
    assert metrics(mounted)[("weightfs_waiting_requests",)] == 0


def test_evictions_and_pins(models, server, mount):
    first, second = (models.blob(3 * CHUNK, f"metrics-{i}") for i in range(2))
    mounted = mount(server, store_keys={"size": "2M"})
    cli.ok("pull", "--store", mounted.store, first.attested)
    # While it is audited the first one does not go.
    wait_until(lambda: cli.weightfs("pull", "--store", mounted.store, "--pin",
                                    second.attested).returncode == 0, "there is room")
    told = metrics(mounted)
    assert told[("weightfs_store_evictions_total",)] == 1
    assert told[("weightfs_store_evicted_bytes_total",)] == first.size
    assert told[("weightfs_store_pinned_bytes",)] == second.size
    assert told[("weightfs_store_limit_bytes",)] == 2 << 20
    store = cli.status(mounted.store)["store"]
    assert (store["evicted"], store["pinned"], store["complete"]) == (1, second.size, 1)
    cli.ok("unpin", "--store", mounted.store, second.attested)
    assert metrics(mounted)[("weightfs_store_pinned_bytes",)] == 0


def test_denied_lookups_are_counted_and_no_more_is_told(small, server, mount):
    mounted = mount(server, policy=f"caller any is local\nset bad sha256-{small.sha256}\n"
                                   "deny local to bad\nallow local to any\n")
    assert not os.path.exists(mounted.object(small.sha256))
    assert metrics(mounted)[("weightfs_lookups_denied_total",)] >= 1
    text = cli.ok("metrics", "--store", mounted.store)
    assert small.sha256 not in text and "local" not in text


# ---- status ------------------------------------------------------------------------------------------

def test_status(small, server, mount):
    mounted = mount(server)
    reader.whole(mounted.object(small.sha256))
    status = cli.status(mounted.store)
    assert status["uptime"] < 3600 and status["offline"] is False
    assert status["memory"]["resident"] > 1 << 20
    assert status["memory"]["buffers_limit"] == 64 << 20
    assert status["in_flight"] == {"chunks": 0, "requests": 0}
    text = cli.ok("status", "--store", mounted.store)
    for word in ("up for", "hit rate", "in flight", "memory", "1 complete", "source       lab"):
        assert word in text
    os.chmod(mounted.store, 0o711)
    mine = cli.status(mounted.store, uid=BOB)
    assert set(mine) == {"version", "pid", "uptime", "mountpoint", "offline", "passthrough"}


@pytest.mark.parametrize("command", ["status", "metrics", "reload"])
def test_without_a_daemon_there_is_nothing_to_tell(small, folder, command):
    store = os.path.join(folder, "store")
    cli.ok("add", "--store", store, small.path)
    result = cli.weightfs(command, "--store", store)
    assert result.returncode == 1 and f"no daemon has the store {store}" in result.stderr
    assert cli.weightfs(command, "a", "b").returncode == 2


# ---- reload ------------------------------------------------------------------------------------------

def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def test_reload(small, server, mount):
    """Also when it is asked for, which is before anybody could notice by itself."""
    allowed = "caller any is local\nallow local to any\n"
    mounted = mount(server, policy=allowed)
    path = mounted.object(small.sha256)
    assert os.stat(path).st_size == small.size
    write(mounted.policy, "caller any is local\ndeny local to any\n")
    assert mounted.policy in cli.ok("reload", "--store", mounted.store)
    assert not os.path.exists(path)
    # What is wrong is said to whoever asked, and the old policy stays.
    write(mounted.policy, "caller any is local\nallow local too any\n")
    result = cli.weightfs("reload", mounted.point)
    assert result.returncode == 1 and f"{mounted.policy}:2:13: " in result.stderr
    assert "old policy stays" in result.stderr
    assert not os.path.exists(path)
    write(mounted.policy, allowed)
    assert json.loads(cli.ok("reload", "--json", "--store", mounted.store)) == \
        {"policy": os.path.realpath(mounted.policy)}
    assert os.stat(path).st_size == small.size
    # More, where the daemon noticed by itself, too.
    told = metrics(mounted)
    assert told[("weightfs_policy_reloads_total", "success")] >= 2
    assert told[("weightfs_policy_reloads_total", "failure")] >= 1


def test_every_listing_has_json(small, server, mount):
    mounted = mount(server)
    lines = json.loads(cli.ok("add", "--json", "--store", mounted.store, small.path))
    assert (lines["digest"], lines["fsverity"], lines["size"], lines["file"]) == \
        (small.sha256, small.fsverity, small.size, small.path)
    for command in ("ls", "pull", "pin", "unpin", "verify", "explain", "rm"):
        for line in cli.ok(command, "--json", "--store", mounted.store, small.sha256).splitlines():
            assert isinstance(json.loads(line), dict), command
    for command in ("status", "gc", "metrics", "reload"):
        for line in cli.ok(command, "--json", "--store", mounted.store).splitlines():
            assert isinstance(json.loads(line), dict), command
