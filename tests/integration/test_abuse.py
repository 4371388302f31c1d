# SPDX-License-Identifier: Apache-2.0
"""What users, sources and admins do that they should not: the daemon stays up, small, and fair."""

import array
import http.server
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from conftest import ALICE, BOB
from harness import cli, process, reader
from harness.config import Source
from harness.models import unknown_digest
from harness.mount import mounts_below
from harness.paths import MIB, SANITIZER, SOON, WEIGHTFS
from harness.poll import wait_until
from harness.reader import Reader

WEB_POLICY = (f"caller uid {ALICE} is https://app.example.com\n"
              f"caller any is local\n"
              f"allow https://app.example.com to any with list\n"
              f"allow local to any with list\n")


def converse(mounted):
    """A connection to the daemon's control socket."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(SOON)
    client.connect(os.path.join(mounted.store, "control.sock"))
    return client


def last_line(client):
    text = b""
    while not text.endswith(b"\n") or not {"done", "error"} & set(json.loads(text.splitlines()[-1])):
        piece = client.recv(65536)
        assert piece, f"no answer: {text!r}"
        text += piece
    return json.loads(text.splitlines()[-1])


# ---- the control socket ----------------------------------------------------------------------------

def test_descriptors_that_nobody_asked_for_are_closed(mount):
    mounted = mount()
    with converse(mounted) as client, open("/dev/null") as null:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * 2))]
        client.sendmsg([b'{"op":"ls"}\n'], rights)
        last_line(client)
        before = mounted.descriptors()
        for _ in range(100):
            client.sendmsg([b'{"op":"ls"}\n'], rights)
            assert last_line(client) == {"done": True}
        # The last one is closed after the answer.
        wait_until(lambda: mounted.descriptors() <= before, "they are closed")


@pytest.mark.parametrize("request_text", [
    "", "[]", "{}", '{"op":1}', '{"op":"nothing"}', '{"op":"x' + 3000 * "é" + '"}', '{"op":"add"}',
    '{"op":"ls","digests":[1]}', '{"op":"ls","digests":["x"]}', '{"op":"explain"}', "\x01", '{"op":"ls"',
])
def test_every_request_is_answered(mount, request_text):
    with converse(mount()) as client:
        client.sendall(request_text.encode() + b"\n")
        assert "error" in last_line(client)
        client.sendall(b'{"op":"ls"}\n')
        assert last_line(client) == {"done": True}


def test_a_line_without_an_end_is_cut_off(mount):
    with converse(mount()) as client:
        try:
            for _ in range(100):
                client.sendall(b"x" * 4096)
        except (BrokenPipeError, ConnectionResetError):
            pass
        with pytest.raises((ConnectionResetError, AssertionError)):
            last_line(client)


def test_explain_does_not_tell_a_web_origin_what_its_view_hides(small, server, mount):
    mounted = mount(server, policy=WEB_POLICY)
    assert reader.whole(mounted.object(small.attested))["sha256"] == small.sha256
    os.chmod(mounted.store, 0o711)  # the socket lies in the store here
    arguments = ["explain", "--store", mounted.store, small.attested]
    told = {uid: cli.weightfs(*arguments, uid=uid).stdout for uid in (ALICE, BOB)}
    assert "allow" in told[ALICE] and "object" not in told[ALICE] and "source" not in told[ALICE]
    assert "bytes here" in told[BOB]


# ---- add ---------------------------------------------------------------------------------------------

def test_an_add_that_waits_for_its_input_does_not_hold_up_the_end(mount):
    mounted = mount()
    waiting = process.spawn([WEIGHTFS, "add", "--store", mounted.store, "-"], stdin=subprocess.PIPE)
    try:
        mounted.stop()
    finally:
        process.kill_group(waiting)


def test_a_pipe_is_refused_by_the_daemon_itself(mount):
    readable, writable = os.pipe()
    try:
        with converse(mount()) as client:
            client.sendmsg([b'{"op":"add"}\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                                  array.array("i", [readable]))])
            assert "regular file" in last_line(client)["error"]
    finally:
        os.close(readable)
        os.close(writable)


def test_a_file_of_the_mount_cannot_be_added_to_itself(small, server, mount):
    mounted = mount(server)
    result = cli.weightfs("add", "--store", mounted.store, mounted.object(small.attested))
    assert result.returncode == 1 and "of this mount" in result.stderr


# ---- sources -----------------------------------------------------------------------------------------

class Claims(http.server.BaseHTTPRequestHandler):
    """Whatever is asked for is here, is of 200 GiB, and is all zeros."""

    def do_GET(self):
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{200 << 30}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        try:
            self.wfile.write(bytes(last - first + 1))
        except OSError:
            pass

    def log_message(self, *args):
        pass


def test_big_fronts_come_one_at_a_time(mount):
    """Of 200 GiB it has 12.5 MiB, and is held several times over while it is checked."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Claims) as liar:
        threading.Thread(target=liar.serve_forever, daemon=True).start()
        mounted = mount(Source("liar", f"http://127.0.0.1:{liar.server_port}"),
                        fetch={"memory": "16M"})
        before = mounted.memory_peak()
        readers = [Reader("whole", mounted.object("fsverity-" + unknown_digest()), "read")
                   for _ in range(12)]
        assert all("errno" in one.outcome() for one in readers)
        if not SANITIZER:
            assert mounted.memory_peak() - before < 100 * MIB
        liar.shutdown()


def test_an_invented_size_costs_no_memory(mount):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Claims) as liar:
        threading.Thread(target=liar.serve_forever, daemon=True).start()
        mounted = mount(Source("liar", f"http://127.0.0.1:{liar.server_port}", "sha256"),
                        store_keys={"size": "1G"})
        assert reader.whole(mounted.object(unknown_digest()))["errno"] == "ENOSPC"
        liar.shutdown()


def test_one_who_gives_up_does_not_answer_for_others(models, server, mount):
    """A question that nobody waits for any more is forgotten, not remembered as a failure."""
    model = models.blob(1 * MIB, "gives-up")
    mounted = mount(server)
    server.pause()
    try:
        first = Reader("whole", mounted.object(model.attested), "read", uid=ALICE)
        wait_until(lambda: "request_wait_answer" in open(f"/proc/{first.child.pid}/wchan").read(),
                   "the first one waits for the daemon")
        first.kill()
        second = Reader("whole", mounted.object(model.attested), "read", uid=BOB)
    finally:
        server.resume()
    assert second.outcome()["sha256"] == model.sha256


# ---- stored bytes that changed ------------------------------------------------------------------------

def test_an_open_file_outlives_its_object(medium, server, mount):
    mounted = mount(server)
    path = mounted.object(medium.attested)
    assert reader.whole(path)["sha256"] == medium.sha256
    with open(path, "rb") as file:
        wait_until(lambda: cli.record_of(mounted.store, medium)["state"] == "complete", "it is complete")
        stored, = (os.path.join(folder, name)
                   for folder, _, names in os.walk(os.path.join(mounted.store, "objects"))
                   for name in names)
        with open(stored, "r+b") as damaged:
            damaged.seek(30 * MIB)
            damaged.write(b"changed")
        assert cli.weightfs("verify", "--store", mounted.store).returncode == 1
        assert os.fstat(file.fileno()).st_size == medium.size
        assert os.pread(file.fileno(), 100, 0) == medium.read(0, 100)
    assert reader.whole(path)["sha256"] == medium.sha256, "fetched anew"


# ---- mounting ----------------------------------------------------------------------------------------

def test_mounting_on_a_file_is_refused(mount, folder):
    mounted = mount(start=False)
    os.makedirs(mounted.folder, exist_ok=True)
    with open(mounted.point, "w"):
        pass
    result = cli.weightfs("mount", "-o", f"store={mounted.store}", "none", mounted.point)
    assert result.returncode == 1 and "Not a directory" in result.stderr


def test_a_source_with_commas_and_backslashes(mount, folder):
    for name in ("a,b.conf", "c\\d.conf", "e f.conf", "g,allow_other.conf"):
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write("[store]\npath = s\n")
        point = os.path.join(folder, "point")
        os.makedirs(point, exist_ok=True)
        assert cli.weightfs("mount", path, point).returncode == 0, name
        try:
            assert os.listdir(os.path.join(point, "hash")) == []
        finally:
            assert cli.weightfs("umount", point).returncode == 0
        wait_until(lambda: cli.weightfs("ls", "--conf", path).returncode == 0, "the daemon has ended")


def test_the_end_of_one_mount_leaves_another_alone(folder):
    """Both on one mountpoint: the lower one ends."""
    point = os.path.join(folder, "point")
    os.mkdir(point)
    stores = [os.path.join(folder, name) for name in ("lower", "upper")]
    for store in stores:
        assert cli.weightfs("mount", "-o", f"store={store}", "none", point).returncode == 0
    try:
        with open(os.path.join(stores[0], "lock")) as lock:
            os.kill(int(lock.read()), signal.SIGTERM)
        wait_until(lambda: cli.weightfs("ls", "--store", stores[0]).returncode == 0 and
                   not os.path.exists(os.path.join(stores[0], "control.sock")), "it has ended")
        assert os.listdir(os.path.join(point, "hash")) == []
    finally:
        while point in mounts_below(folder):
            assert cli.weightfs("umount", point).returncode == 0
    wait_until(lambda: not os.path.exists(os.path.join(stores[1], "control.sock")), "both have")


@pytest.mark.parametrize("option", ["user_foo=1", "uid=0", "allow_others", "size=1"])
def test_options_that_only_look_like_some_are_refused(folder, option):
    result = cli.weightfs("mount", "-o", option, "none", folder)
    assert result.returncode == 2 and f"unknown option: {option.split('=')[0]}" in result.stderr
