#!/bin/sh
# Makes ./configure; needs autoconf and automake (see deps.sh).
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force --warnings=all
