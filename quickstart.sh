#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# weightfs in two minutes, as root: builds it, serves a sample model on loopback, mounts, and shows
# what it does. Everything happens in a folder of its own, which is gone afterwards; nothing is
# installed except, if missing, the Debian packages of deps.sh.
#
#	sudo ./quickstart.sh
#
# WEIGHTFS         the program to show, if it is built already (build/weightfs)
# MODEL_SIZE       of the sample model (64M)
set -euo pipefail

[ "$(id -u)" = 0 ] || {
	echo "$0: needs root, to mount for other users than itself: sudo $0" >&2
	exit 1
}
top=$(cd "$(dirname "$0")" && pwd)
alice=12001
bob=12002
eve=12003

# ---- how the tour talks ----------------------------------------------------------------------------

bold=
plain=
if [ -t 1 ]; then
	bold=$(printf '\033[1m')
	plain=$(printf '\033[0m')
fi
step=0
title() {
	step=$((step + 1))
	printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$plain"
}
say() { printf '   %s\n' "$@"; }

# Shows a command, runs it, shows what it printed. `as UID COMMAND` is shown with its user.
show() {
	local prompt='#'
	if [ "$1" = as ]; then
		prompt="(uid $2) \$"
		shift 2
	fi
	printf '   %s%s %s%s\n' "$bold" "$prompt" "${*//$work/…}" "$plain"
}
run() {
	show "$@"
	"$@" 2>&1 | sed "s|$work|…|g; s/^/   | /"
}

# The same for a command that must fail.
refused() {
	show "$@"
	local said
	if said=$("$@" 2>&1); then
		fail "that should not have worked"
	fi
	printf '%s\n' "$said" | sed "s|$work|…|g; s/^/   | /"
	case $said in
	*"No such file or directory"*) ;;
	*) fail "it should look as if the file did not exist" ;;
	esac
}

fail() {
	printf '\nquickstart: %s\n' "$1" >&2
	exit 1
}

as() { # UID COMMAND…
	local uid=$1
	shift
	setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$@"
}

# Polls, 10 s at most.
wait_for() {
	local tries=200
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "waited in vain for: $*"
		sleep 0.05
	done
}

# ---- what is cleaned up, whatever happens ----------------------------------------------------------

work=$(realpath "$(mktemp -d "${TMPDIR:-/var/tmp}/weightfs-quickstart-XXXXXX")")
chmod 755 "$work"
server=
clean_up() {
	local status=$?
	trap - EXIT INT TERM
	if [ "$status" != 0 ] && [ -s "$work/server/error.log" ]; then
		sed 's/^/   nginx: /' "$work/server/error.log" >&2
	fi
	if mountpoint -q "$work/models" 2>/dev/null; then
		"$weightfs" umount "$work/models" || umount -l "$work/models"
	fi
	stop_server
	rm -rf "$work"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

stop_server() {
	[ -n "$server" ] || return 0
	kill "$server" 2>/dev/null || :
	wait "$server" 2>/dev/null || :
	server=
}

# ----------------------------------------------------------------------------------------------------

weightfs=${WEIGHTFS:-${WEIGHTFS_BUILD:-$top/build}/weightfs}
title "The program"
say "Debian packages that are missing are installed (./deps.sh)."
"$top/deps.sh"
if [ -x "$weightfs" ]; then
	say "Already built: $weightfs"
else
	say "Building in ${weightfs%/*}; this takes a minute."
	mkdir -p "${weightfs%/*}"
	(
		[ -x "$top/configure" ] || "$top/autogen.sh"
		cd "${weightfs%/*}"
		[ -f Makefile ] || "$top/configure"
		make -j2
	) >"$work/build.log" 2>&1 || {
		tail -n 40 "$work/build.log" >&2
		fail "it does not build"
	}
fi
weightfs=$(realpath "$weightfs")
# From here on `weightfs` is typed as a user would type it.
PATH=$(dirname "$weightfs"):$PATH
run weightfs --version

title "A model, and its Merkle tree"
say "A safetensors file, and the front of its fs-verity tree: 0.006 % of it, which is all that is" \
	"needed to verify any part of the model on its own."
mkdir -p "$work"/{server/www,publisher/Lab/Sample,models,store}
model=$work/publisher/Lab/Sample/model.safetensors
run "$top/tests/tools/make-model.py" --size "${MODEL_SIZE:-64M}" "$model"
run weightfs tree "$model"
size=$(stat -c %s "$model")
sha256=$(sha256sum <"$model" | cut -d' ' -f1)
names=$(weightfs tree "$model")
rm "$model.vtree" # `publish` makes its own
fsverity=$(grep -o 'fsverity-[0-9a-f]\{64\}' <<<"$names") || fail "no fs-verity digest was printed"
fsverity=${fsverity#fsverity-}
[[ $names == *"$sha256"* ]] || fail "the SHA-256 is not that of sha256sum"
[ "$(fsverity digest --compact "$model")" = "$fsverity" ] ||
	fail "fsverity-utils finds another digest"
say "" "size $size, the same digests as by sha256sum and fsverity-utils"

title "The publisher: a folder of models becomes files for any web server, and a signed catalog of their names"
run minisign -G -W -p "$work/lab.pub" -s "$work/lab.key"
run weightfs publish "$work/publisher" --key "$work/lab.key" --name lab -o "$work/server/www"
rm -r "$work/publisher"
say "" "Nobody has to trust the server: here nginx, on a loopback port."
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/server/nginx.conf" <<EOF
user root;
daemon off;
master_process off;
pid $work/server/pid;
error_log $work/server/error.log;
events { worker_connections 256; }
http {
	log_format bytes '\$body_bytes_sent \$uri';
	access_log $work/server/access.log bytes;
	client_body_temp_path $work/server/body;
	proxy_temp_path $work/server/proxy;
	fastcgi_temp_path $work/server/fastcgi;
	scgi_temp_path $work/server/scgi;
	uwsgi_temp_path $work/server/uwsgi;
	server {
		listen 127.0.0.1:$port;
		root $work/server/www;
		location = /status { stub_status; access_log off; }
	}
}
EOF
nginx -p "$work/server" -c "$work/server/nginx.conf" -e "$work/server/error.log" &
server=$!
say "http://127.0.0.1:$port/lab.jsonl"

# nginx logs a request when it has ended: wait until ours is the only one.
idle() { curl -sf "http://127.0.0.1:$port/status" | grep -q 'Writing: 1 '; }
sent() {
	wait_for idle
	awk '{ sum += $1 } END { print sum + 0 }' "$work/server/access.log"
}
wait_for idle

title "Configuration and policy"
cat >"$work/weightfs.conf" <<EOF
[catalog lab]
url = http://127.0.0.1:$port/lab.jsonl
key = $(tail -n 1 "$work/lab.pub")
prefix = *
allow-http = yes
allow-private = yes
EOF
cat >"$work/policy" <<EOF
caller uid $alice is editor
caller uid $bob is translator
caller uid $eve is game
caller uid 0 is local

allow editor     to any with list
allow translator to any
allow local      to any with list
# Nothing is said of the game: it may open nothing.
EOF
run cat "$work/weightfs.conf"
run cat "$work/policy"
run weightfs policy check "$work/policy"

title "Mounting"
options=conf=$work/weightfs.conf,policy=$work/policy,store=$work/store
run weightfs mount -o "$options" none "$work/models"
mountpoint -q "$work/models" || fail "nothing is mounted"
run weightfs catalog refresh --store "$work/store"
path=$work/models/name/lab/Lab/Sample/model.safetensors
run as $alice stat -c '%A %s bytes  %n' "$path"
say "" "The size is known, and nothing of the model is here yet. Names are what the catalog says:"
run as $alice ls -R "$work/models/name/"

title "The editor (uid $alice) reads 4 KiB in the middle"
run as $alice dd if="$path" of=/dev/null bs=4k count=1 skip=$((size / 8192))
lazily=$(sent)
say "" "nginx has sent $lazily bytes, of $size: the catalog, one chunk, and the front of the tree."
[ "$lazily" -le $((1 << 20)) ] || fail "that is more than 1 MiB"
[ "$lazily" -gt 0 ] || fail "nothing was fetched: that is not lazy, that is magic"

title "The editor reads all of it"
say "sha256sum of the original: $sha256"
run as $alice sha256sum "$path"
[ "$(as $alice sha256sum "$path" | cut -d' ' -f1)" = "$sha256" ] || fail "wrong bytes"
all=$(sent)
[ "$all" -le $((size + 16384)) ] || fail "nginx sent $all bytes: something was fetched twice"
say "" "nginx has sent $all bytes in all: every byte of the model once."
say "By its digest it is the same file:"
run as $alice ls "$work/models/hash/"

title "No network: the translator (uid $bob), another origin, reads the same model"
say "nginx is stopped."
stop_server
refused_connection() { ! curl -sf "http://127.0.0.1:$port/" >/dev/null 2>&1; }
wait_for refused_connection
run as $bob sha256sum "$path"
[ "$(as $bob sha256sum "$path" | cut -d' ' -f1)" = "$sha256" ] || fail "wrong bytes"
say "" "One copy on the disk serves both; each sees it in a view of its own:"
run as $alice readlink "$work/models/hash"
run as $bob readlink "$work/models/hash"

title "Denied: the game (uid $eve)"
say "For it the model, though it is here, does not exist."
refused as $eve cat "$path"
refused as $eve stat "$work/models/hash/$sha256"

title "What the administrator sees"
run weightfs ls --store "$work/store"
[[ $(weightfs ls --json --store "$work/store") == *'"complete"'* ]] || fail "it is not complete"
run weightfs policy test "$work/policy" translator "$sha256"
run weightfs explain --conf "$work/weightfs.conf" --policy "$work/policy" --store "$work/store" "$sha256"
run weightfs catalog list --store "$work/store"
run weightfs verify --store "$work/store"

title "The end"
run weightfs umount "$work/models"
! mountpoint -q "$work/models" || fail "it is still mounted"
say "" "All of it worked. Next: weightfs(1), weightfs.conf(5), dist/weightfs.conf.sample."
