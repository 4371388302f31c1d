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
from harness.paths import GIB, MIB, SANITIZER, SOON, WEIGHTFS
from harness.poll import wait_until
from harness.reader import Reader

WEB_POLICY = (f"caller uid {ALICE} is https://app.example.com\n"
              f"caller any is local\n"
              f"allow https://app.example.com to any with list\n"
              f"allow local to any with list\n")


def converse(mounted):
    """A connection to the daemon's control socket."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(os.path.join(mounted.store, "control.sock"))
    client.settimeout(SOON)
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


def conversations(mounted):
    """Threads that hold one."""
    tasks = f"/proc/{mounted.child.pid}/task"
    names = []
    for task in os.listdir(tasks):
        try:
            with open(f"{tasks}/{task}/comm") as file:
                names.append(file.read().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return names.count("control-client")


def test_lines_that_come_together_are_answered_in_turn(mount):
    with converse(mount()) as client:
        client.sendall(b'{"op":"gc"}\n[]\n{"op":"status"}\n{"op":')
        client.sendall(b'"ls"}\n')
        client.shutdown(socket.SHUT_WR)
        said = [json.loads(line) for line in client.makefile()]
    kinds = [next(iter({"done", "error"} & set(line)), "line") for line in said]
    assert kinds == ["line", "done", "error", "line", "done", "done"]


@pytest.mark.parametrize("request_bytes", [
    b'{"op":"ls"}\0', b'{"op":"ls","digests":["\xff"]}', b'{"op":"ls","op":"gc"}', b"[" * 3000,
    b'{"op":"gc","to":9223372036854775808}', b'{"op":"pull"}', b'{"op":"pull","digests":[1]}',
    b'{"op":"pull","digests":["x"],"pin":true}', b'{"op":"pull","digests":{}}'])
def test_requests_that_only_look_like_some(mount, request_bytes):
    with converse(mount()) as client:
        client.sendall(request_bytes + b"\n")
        assert last_line(client)["errno"] == 22
        client.sendall(b'{"op":"ls"}\n')
        assert last_line(client) == {"done": True}


def test_those_who_say_nothing_or_hear_nothing_are_left(mount):
    """One is silent, one says a byte now and then, one takes no answer: each is gone after ten seconds."""
    mounted = mount()
    with converse(mounted) as silent, converse(mounted) as slow, converse(mounted) as deaf:
        deaf.settimeout(None)
        ending = threading.Event()

        def trickle():
            try:
                while not ending.wait(0.5):
                    slow.sendall(b"x")
            except OSError:
                pass

        threads = [threading.Thread(target=trickle)]
        threads[0].start()
        try:
            # More than the sockets take: the daemon stops reading, and then so do we.
            deaf.setblocking(False)
            try:
                while True:
                    deaf.send(100 * b'{"op":"metrics"}\n')
            except BlockingIOError:
                pass
            wait_until(lambda: conversations(mounted) == 3, "all three are held")
            with converse(mounted) as other:
                other.sendall(b'{"op":"ls"}\n')
                assert last_line(other) == {"done": True}
            wait_until(lambda: conversations(mounted) == 0, "they are ended", timeout=2 * SOON)
        finally:
            ending.set()
            threads[0].join()
        assert silent.recv(1) == b""


def test_a_hundred_connections(mount):
    mounted = mount()
    os.chmod(mounted.store, 0o711)
    clients = [converse(mounted) for _ in range(100)]
    try:
        wait_until(lambda: 0 < conversations(mounted) <= 48, "some are served")
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: conversations(mounted) == 0, "all are gone")
    assert cli.ok("gc", "--store", mounted.store)
    # Of one user who is not root four are, and the rest finds a closed door; root still gets in.
    script = ("import socket, sys, time\n"
              "held = [socket.socket(socket.AF_UNIX) for _ in range(20)]\n"
              "for one in held: one.connect(sys.argv[1])\n"
              "print('connected', flush=True); sys.stdin.read()\n")
    child = process.spawn(process.as_user(ALICE, ["/usr/bin/python3", "-c", script,
                                                  os.path.join(mounted.store, "control.sock")]),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "connected\n"
        wait_until(lambda: conversations(mounted) == 4, "four are held")
        assert cli.ok("gc", "--store", mounted.store)
    finally:
        child.stdin.close()
        child.stdout.close()
        process.kill_group(child)


# ---- add ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("way", ["killed", "closed"])
def test_an_add_ends_with_its_client(folder, mount, way):
    """In the middle of a large file; and its room is free again."""
    mounted = mount(store_keys={"size": "9G", "keep-free": "0"})
    path = os.path.join(folder, "large")
    with open(path, "wb") as file:
        file.truncate(8 * GIB)
    pending = os.path.join(mounted.store, "tmp")
    if way == "killed":
        client = process.spawn([WEIGHTFS, "add", "--store", mounted.store, path])
        wait_until(lambda: os.listdir(pending), "it is being added")
        process.kill_group(client)
    else:
        with converse(mounted) as client, open(path) as file:
            client.sendmsg([b'{"op":"add"}\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                                  array.array("i", [file.fileno()]))])
            client.recv(100)  # progress
    wait_until(lambda: not os.listdir(pending), "what came is thrown away")
    assert cli.listed(mounted.store) == [], "it was not completed instead"
    status = cli.status(mounted.store)
    assert status["store"]["used"] == 0
    wait_until(lambda: conversations(mounted) == 0, "nobody serves it any more")



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
        # The audit is over, too: it would find the damage first.
        wait_until(lambda: cli.record_of(mounted.store, medium).get("digest"), "it is complete")
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

def has_ended(store):
    """No daemon listens, and none has the lock any more: `ls` does it by itself."""
    return not os.path.exists(os.path.join(store, "control.sock")) and \
        cli.weightfs("ls", "--store", store).returncode == 0


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
        wait_until(lambda: has_ended(os.path.join(folder, "s")), "the daemon has ended")


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
        wait_until(lambda: has_ended(stores[0]), "it has ended")
        assert os.listdir(os.path.join(point, "hash")) == []
    finally:
        while point in mounts_below(folder):
            assert cli.weightfs("umount", point).returncode == 0
    wait_until(lambda: has_ended(stores[1]), "both have")


@pytest.mark.parametrize("option", ["user_foo=1", "uid=0", "allow_others", "size=1"])
def test_options_that_only_look_like_some_are_refused(folder, option):
    result = cli.weightfs("mount", "-o", option, "none", folder)
    assert result.returncode == 2 and f"unknown option: {option.split('=')[0]}" in result.stderr
