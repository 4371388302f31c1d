# SPDX-License-Identifier: Apache-2.0
"""What people would use instead, with the options that were fastest here, from the same server.

Both keep what was read in a file, as weightfs does; neither verifies it.
"""

import contextlib
import os
import subprocess

from common import process
from harness.mount import detach, mounts_below
from harness.poll import wait_until

RCLONE = ["--vfs-cache-mode", "full", "--vfs-read-chunk-size", "0", "--buffer-size", "64M",
          "--vfs-read-ahead", "128M"]
NBDKIT_FILTERS = ["--filter=cow"]
NBDKIT = ["cow-on-read=true"]


@contextlib.contextmanager
def running(folder, commands, path, environment=None):
    """COMMANDS one after the other, each with what must be there before the next; then PATH is there."""
    children = []
    try:
        for command, ready in commands:
            with open(os.path.join(folder, "log"), "a") as log:
                child = process.spawn(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      env={**os.environ, **(environment or {})})
            children.append(child)
            wait_until(lambda: ready() or ended(child, folder), f"{command[0]} is ready")
        wait_until(lambda: os.path.exists(path), f"{path} is there")
        yield path
    finally:
        for child in reversed(children):
            process.kill_group(child)
        for point in reversed(mounts_below(folder)):
            detach(point)


def ended(child, folder):
    if child.poll() is not None:
        with open(os.path.join(folder, "log")) as log:
            raise RuntimeError(f"{child.args[0]} ended with {child.returncode}: {log.read()}")


@contextlib.contextmanager
def rclone(bench, model, url, options=None):
    """The path of MODEL in a mount of URL, nothing of it cached yet."""
    with bench.folder("rclone") as folder:
        point = os.path.join(folder, "mnt")
        os.mkdir(point)
        command = ["rclone", "mount", ":http:s", point, "--http-url", url, "--config", "/dev/null",
                   "--read-only", "--cache-dir", os.path.join(folder, "cache"),
                   *(RCLONE if options is None else options)]
        mounted = lambda: mounts_below(folder)
        with running(folder, [(command, mounted)], os.path.join(point, model.sha256)) as path:
            yield path


@contextlib.contextmanager
def nbdfuse(bench, model, url, filters=None, options=None):
    """The same by nbdkit's curl plugin. Its overlay is an unlinked file in TMPDIR."""
    with bench.folder("nbd") as folder:
        point, socket = os.path.join(folder, "mnt"), os.path.join(folder, "socket")
        os.mkdir(point)
        server = ["nbdkit", "-f", "-r", "-U", socket,
                  *(NBDKIT_FILTERS if filters is None else filters), "curl",
                  f"url={url}/s/{model.sha256}", *(NBDKIT if options is None else options)]
        path = os.path.join(point, "nbd")
        client = ["nbdfuse", "-r", path, "--unix", socket]
        commands = [(server, lambda: os.path.exists(socket)), (client, lambda: mounts_below(folder))]
        with running(folder, commands, path, {"TMPDIR": folder}):
            yield path
