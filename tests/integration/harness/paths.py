# SPDX-License-Identifier: Apache-2.0
"""Where things are, and what the environment asks for."""

import os
import re

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
TOOLS = os.path.join(TOP, "tests", "tools")
PYTHON = "/usr/bin/python3"
WEIGHTFS = os.path.realpath(os.environ.get("WEIGHTFS") or os.path.join(TOP, "build", "weightfs"))

# "", "address", "thread": what the daemon under test was built with.
SANITIZER = os.environ.get("WEIGHTFS_SANITIZER", "")
# The long forms: a minute of outage, a hundred crashes.
LONG = os.environ.get("WEIGHTFS_LONG", "") not in ("", "0")

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
CHUNK = 512 * KIB
BLOCK = 4 * KIB

# Words for -o of every mount: "nopassthrough".
MOUNT_OPTIONS = [word for word in os.environ.get("WEIGHTFS_MOUNT_OPTIONS", "").split(",") if word]

UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB}


def parse_size(text):
    match = re.fullmatch(r"(\d+)([KMG]?)(iB)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"not a size: {text!r}")
    return int(match[1]) * UNITS[match[2].upper()]


# How large "a large model" is.
MODEL_SIZE = parse_size(os.environ.get("WEIGHTFS_MODEL_SIZE", "1G"))

# Waiting for something that takes no time on an idle machine. Generous: a sanitizer build on a busy
# machine is slow, and nothing waits for the whole of it unless the test is about to fail.
SOON = 60 if SANITIZER else 20
