#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs what weightfs needs to be built and tested on Debian 12 and its kin. Does nothing, at once
# and without root, when everything is there.
#
#	./deps.sh              everything (build and tests)
#	./deps.sh --list       only print the packages' names
# shellcheck disable=SC2086 # lists of words are meant to be split
set -eu

packages='
autoconf automake pkgconf make gcc
libfuse3-dev fuse3 librocksdb-dev libcurl4-openssl-dev libssl-dev libjansson-dev libinih-dev uthash-dev
libidn2-dev libpsl-dev libexpat1-dev
libcmocka-dev libfsverity-dev fsverity minisign
clang libclang-rt-dev
nginx-light openssl curl python3 python3-pytest python3-pytest-xdist python3-prometheus-client
mandoc shellcheck attr strace procps util-linux mount iproute2 e2fsprogs xfsprogs
rclone nbdkit libnbd-bin
python3-onnx python3-numpy
bubblewrap systemd-container runc docker-registry'

# Node.js only where there is none of it: that of others brings an npm, and would be put out by Debian's.
command -v node >/dev/null || command -v npm >/dev/null || packages="$packages nodejs npm"

case ${1-} in
'') ;;
--list)
	printf '%s\n' $packages
	exit 0
	;;
*)
	echo "usage: $0 [--list]" >&2
	exit 2
	;;
esac

command -v dpkg-query >/dev/null || {
	echo "$0: this is not Debian; there, what is needed is called:" $packages >&2
	exit 1
}

installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
	sed -n 's/^installed //p') || :
missing=
for package in $packages; do
	printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "$0: not installed:$missing" >&2
	echo "$0: run it as root to install them" >&2
	exit 1
fi

# Only the programs are wanted, not servers on their ports: the units of those that are new are masked while dpkg configures
# them, so that they never start. A server that was there before is left as it is.
new=
[ -x /usr/sbin/nginx ] || new="$new nginx"
[ -x /usr/bin/docker-registry ] || new="$new docker-registry"
systemd=
[ ! -d /run/systemd/system ] || systemd=yes

units() { # VERB…
	for unit in $new; do
		systemctl --quiet "$@" "$unit.service"
	done
}

unmask() {
	units --runtime unmask
}

if [ -n "$new" ] && [ -n "$systemd" ]; then
	units --runtime mask
	trap unmask EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends $missing

if [ -n "$new" ] && [ -n "$systemd" ]; then
	unmask
	trap - EXIT
	units disable
elif [ -n "$new" ] && command -v service >/dev/null; then
	for unit in $new; do
		service "$unit" stop >/dev/null 2>&1 || :
	done
fi
