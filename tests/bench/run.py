#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""All benchmarks, or some: `make bench` in the build folder does it. table.py makes a table of it."""

import sys

import common

if __name__ == "__main__":
    sys.exit(common.main("warm", "cold", "first", "ranges", "many", "link", "store", "catalog", description=__doc__))
