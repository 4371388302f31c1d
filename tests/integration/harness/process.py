# SPDX-License-Identifier: Apache-2.0
"""Processes that a test starts: known to the session, so that none outlives it."""

import os
import signal
import subprocess
import threading

from .paths import PYTHON

_lock = threading.Lock()
_children = []  # protected by _lock


def spawn(args, **kwargs):
    """A child in a session of its own, so that a signal can reach all of its tree."""
    child = subprocess.Popen(args, start_new_session=True, **kwargs)
    with _lock:
        _children.append(child)
    return child


def alive():
    with _lock:
        return [child for child in _children if child.poll() is None]


def kill_group(child):
    """Ends CHILD and what it started; waits for it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def kill_all():
    """For the watchdog: a reader that hangs in the mount is freed by the daemon's death."""
    for child in alive():
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def as_user(uid, args):
    """ARGS, run with the identity of UID, without a supplementary group."""
    if uid in (None, os.getuid()):
        return list(args)
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"] + list(args)


def python(code_file, *args):
    return [PYTHON, "-E", "-s", code_file, *map(str, args)]


def run(args, uid=None, timeout=120, check=False, **kwargs):
    """A command's CompletedProcess, as text."""
    kwargs.setdefault("capture_output", True)
    kwargs.setdefault("text", True)
    result = subprocess.run(as_user(uid, list(map(str, args))), timeout=timeout, **kwargs)
    if check and result.returncode != 0:
        raise AssertionError(f"{args}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result
