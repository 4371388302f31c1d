#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A cold sequential read of a large model through the mount (fetched over loopback, verified, kept),
# against what one does without weightfs: `curl -o FILE`, then `openssl dgst -sha256 FILE`. Both are
# measured in turn, in one run. As root.
#
#	tests/bench/cold.sh [SIZE] [ROUNDS]        2G 5
#
# Prints a JSON line for every figure, and a summary on stderr. Never fails because of speed; a wrong
# byte is a failure.
set -euo pipefail

size=${1:-2G}
rounds=${2:-5}
memory=${MEMORY:-64M}
top=$(cd "$(dirname "$0")/../.." && pwd)
weightfs=${WEIGHTFS:-${WEIGHTFS_BUILD:-$top/build}/weightfs}
[ -x "$weightfs" ] || {
	echo "$0: $weightfs is not there: build it, or set WEIGHTFS" >&2
	exit 2
}

work=$(mktemp -d "${TMPDIR:-/var/tmp}/weightfs-bench-XXXXXX")
work=$(realpath "$work")
server=
daemon=
stop_daemon() {
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null || :
		wait "$daemon" 2>/dev/null || :
		daemon=
	fi
	mountpoint -q "$work/mnt" && umount -l "$work/mnt"
	return 0
}
cleanup() {
	stop_daemon
	[ -z "$server" ] || kill "$server" 2>/dev/null || :
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

wait_for() {
	local tries=500
	until "$@" 2>/dev/null; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || { echo "$0: gave up waiting for: $*" >&2; exit 1; }
		sleep 0.02
	done
}

figure() { # NAME UNIT VALUES…
	local name=$1 unit=$2
	shift 2
	/usr/bin/python3 - "$name" "$unit" "$@" <<'EOF'
import json, statistics, sys
name, unit, *values = sys.argv[1:]
values = [float(v) for v in values]
print(json.dumps({"figure": name, "unit": unit, "median": round(statistics.median(values), 4),
                  "min": min(values), "max": max(values), "rounds": len(values),
                  "values": values}))
EOF
}

now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{ printf "%.3f", $1 - $2 }'; }

mkdir -p "$work"/{www/f,mnt,logs}
echo "making a model of $size" >&2
"$top/tests/tools/make-model.py" --size "$size" --seed bench "$work/model"
bytes=$(stat -c %s "$work/model")
sha256=$(openssl dgst -sha256 -r "$work/model" | cut -d' ' -f1)
fsverity=$(cd "$work" && "$weightfs" tree model | grep -o 'fsverity-[0-9a-f]*')
fsverity=${fsverity#fsverity-}
mv "$work/model" "$work/www/f/$fsverity"
mv "$work/model.vtree" "$work/www/f/$fsverity.vtree"

port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
cat >"$work/nginx.conf" <<EOF
user root;
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/logs/error.log;
events { worker_connections 512; }
http {
	access_log off;
	sendfile on;
	client_body_temp_path $work/logs/body;
	proxy_temp_path $work/logs/proxy;
	fastcgi_temp_path $work/logs/fastcgi;
	scgi_temp_path $work/logs/scgi;
	uwsgi_temp_path $work/logs/uwsgi;
	server { listen 127.0.0.1:$port; root $work/www; }
}
EOF
nginx -p "$work" -c "$work/nginx.conf" -e "$work/logs/error.log" &
server=$!
wait_for curl -sfo "$work/none" "http://127.0.0.1:$port/f/$fsverity.vtree"

cat >"$work/weightfs.conf" <<EOF
[fetch]
memory = $memory
[source bench]
url  = http://127.0.0.1:$port/f/{fsverity}
tree = http://127.0.0.1:$port/f/{fsverity}.vtree
allow-http = yes
allow-private = yes
EOF

# Both sides write a new file, whose old copy is gone, with the source's pages in memory.
cat "$work/www/f/$fsverity" >/dev/null
ours=()
theirs=()
ratios=()
peaks=()
for round in $(seq "$rounds"); do
	rm -rf "$work/store" "$work/copy"
	sync -f "$work"
	begin=$(now)
	curl -sSfo "$work/copy" "http://127.0.0.1:$port/f/$fsverity"
	openssl dgst -sha256 -r "$work/copy" >"$work/digest"
	theirs+=("$(since "$begin")")
	grep -q "^$sha256" "$work/digest"
	rm -f "$work/copy"
	sync -f "$work"

	"$weightfs" mount -f -o "conf=$work/weightfs.conf,store=$work/store" none "$work/mnt" \
		2>"$work/logs/daemon.log" &
	daemon=$!
	wait_for mountpoint -q "$work/mnt"
	begin=$(now)
	dd if="$work/mnt/hash/fsverity-$fsverity" of=/dev/null bs=1M status=none
	ours+=("$(since "$begin")")
	peaks+=("$(awk '/VmHWM/ { print $2 / 1024 }' "/proc/$daemon/status")")
	# That it was right is checked outside of the time: the store was verified, this is for the bench.
	openssl dgst -sha256 -r "$work/mnt/hash/fsverity-$fsverity" | grep -q "^$sha256" || {
		echo "$0: wrong bytes" >&2
		exit 1
	}
	stop_daemon
	ratios+=("$(echo "${ours[-1]} ${theirs[-1]}" | awk '{ printf "%.3f", $1 / $2 }')")
	echo "round $round: weightfs ${ours[-1]} s, curl + openssl ${theirs[-1]} s" >&2
done

figure cold_read_weightfs s "${ours[@]}"
figure cold_read_curl_openssl s "${theirs[@]}"
figure cold_read_ratio 1 "${ratios[@]}"
figure cold_read_peak_rss MiB "${peaks[@]}"
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
awk -v a="$(median "${ours[@]}")" -v b="$(median "${theirs[@]}")" -v r="$(median "${ratios[@]}")" \
	-v m="$(median "${peaks[@]}")" -v n="$bytes" -v fetch="$memory" 'BEGIN {
	mib = n / 1048576
	printf "cold sequential read of %.0f MiB, medians:\n", mib
	printf "  weightfs            %6.2f s  %6.0f MiB/s\n", a, mib / a
	printf "  curl, then openssl  %6.2f s  %6.0f MiB/s\n", b, mib / b
	printf "  ratio (of pairs)    %6.2f    %s\n", r, r <= 1 ? "no slower" : "SLOWER"
	printf "  peak RSS            %6.1f MiB, bound: 64 MiB + %s\n", m, fetch
}' >&2
