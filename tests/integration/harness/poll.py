# SPDX-License-Identifier: Apache-2.0
"""Polling with a deadline."""

import time

from .paths import SOON


class Timeout(AssertionError):
    pass


def wait_until(condition, what, timeout=SOON, interval=0.02):
    """The first true value of CONDITION(); fails with WHAT after TIMEOUT seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"not within {timeout} s: {what}")
        time.sleep(interval)


def holds_for(condition, seconds, what, interval=0.05):
    """CONDITION() stays true for SECONDS."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"not for {seconds} s: {what}"
        time.sleep(interval)
