#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The figures of a store of 100,000 objects; the options are those of all benchmarks (--help).
exec /usr/bin/python3 "$(dirname "$0")/store.py" "$@"
