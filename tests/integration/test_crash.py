# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon: what was recorded counts, what was not is fetched, and no byte is wrong."""

import random
import subprocess

import pytest

from harness import cli, process, reader
from harness.mount import MountFailed, mounts_below
from harness.paths import LONG, MIB, WEIGHTFS
from harness.poll import wait_until
from harness.reader import Reader

ROUNDS = 100 if LONG else 10


@pytest.mark.parametrize("kind", ["attested", "unattested"])
def test_killed_at_random_moments(models, nginx, mount, kind):
    model = models.blob(24 * MIB + 4097, "crash")
    server = nginx()
    # Without the limit a whole run takes far less than a second: spread the moments over it.
    uri, dice = model.blob_uri(kind), random.Random(kind)
    kept = 0
    for round_number in range(ROUNDS):
        server.set_rate("6m")
        mounted = mount(server, fetch={"connections": 4})
        reading = Reader("whole", mounted.object(model.name(kind)), "read")
        try:
            reading.child.wait(dice.uniform(0, 1.4))
        except subprocess.TimeoutExpired:
            pass
        mounted.crash()
        reading.kill()

        record = cli.record_of(mounted.store, model)
        present = record["present"] if record else 0
        kept += present > 0
        server.set_rate(None)
        server.mark()
        mounted.start()
        assert reader.whole(mounted.object(model.name(kind))) == \
            {"sha256": model.sha256, "size": model.size}, f"round {round_number}"
        assert server.body_bytes(uri) <= model.size - present, \
            f"round {round_number}: {present} bytes were recorded as present"
        mounted.stop()
        assert cli.ok("verify", "--store", mounted.store) is not None
    assert kept > 0, "no round was killed in the middle: the test shows nothing"


def test_a_crash_leaves_the_lock_free(models, server, mount):
    model = models.blob(3 * MIB, "lock")
    mounted = mount(server)
    assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    mounted.crash()
    server.mark()
    mounted.start()
    assert reader.whole(mounted.object(model.attested))["sha256"] == model.sha256
    assert server.body_bytes(model.blob_uri("attested")) == 0, "it was complete before the crash"


def test_a_second_daemon_on_the_same_store_is_refused(server, mount, small):
    first = mount(server)
    second = mount(server, store=first.store, start=False)
    with pytest.raises(MountFailed):
        second.start()
    assert second.child.returncode == 1
    assert str(first.child.pid) in second.log()
    second.child = None
    assert reader.whole(first.object(small.attested))["sha256"] == small.sha256


def test_mount_in_the_background_reports_what_is_wrong(server, mount, folder):
    """Without -f: status 1 and the reason, when a daemon cannot start; 0 when the mount answers."""
    first = mount(server)
    result = process.run([WEIGHTFS, "mount", "-o", f"store={first.store}", "none", folder])
    assert result.returncode == 1
    assert str(first.child.pid) in result.stderr


def test_mount_in_the_background_and_umount(server, mount, small):
    mounted = mount(server, start=False)
    mounted.make_folders()
    command = [word for word in mounted.command if word != "-f"]
    try:
        process.run(command, check=True, timeout=60, capture_output=False,
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert reader.whole(mounted.object(small.attested))["sha256"] == small.sha256
    finally:
        result = cli.weightfs("umount", mounted.point)
    assert result.returncode == 0, result.stderr
    wait_until(lambda: not mounts_below(mounted.folder), "unmounted")
    # The store is free again: the daemon has ended.
    wait_until(lambda: cli.weightfs("ls", "--store", mounted.store).returncode == 0, "ended")


def test_umount_of_what_is_no_mount(folder):
    assert cli.weightfs("umount", folder).returncode == 1
