# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks measure with: their reader sees every difference, their link carries every byte.

How fast something is, is nothing that a test could fail for; that the imitated link is not faster than
it says is.
"""

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time

import pytest

from harness import process
from harness.paths import KIB, MIB, TOP, WEIGHTFS
from harness.poll import wait_until

TOOLS = os.path.join(os.path.dirname(WEIGHTFS), "tests", "tools")
READER, SHAPER = os.path.join(TOOLS, "bench-reader"), os.path.join(TOOLS, "shaper")
TABLE = os.path.join(TOP, "tests", "bench", "table.py")


@pytest.fixture(autouse=True)
def built():
    for program in (READER, SHAPER):
        if not os.access(program, os.X_OK):
            pytest.skip(f"{program} is not built: make check")


def reader(*args, stdin=""):
    result = process.run([READER, *args], input=stdin)
    return result.returncode, json.loads(result.stdout) if result.returncode == 0 else result.stderr


def said(*args, **kwargs):
    status, outcome = reader(*args, **kwargs)
    assert status == 0, outcome
    return outcome


# ---- the reader ------------------------------------------------------------------------------------

@pytest.fixture
def pair(folder):
    """Two equal files of an odd size, and a function that spoils the second at an offset."""
    data = random.Random(1).randbytes(3 * MIB + 12345)
    paths = [os.path.join(folder, name) for name in ("original", "copy")]

    def write(path, content):
        with open(path, "wb") as file:
            file.write(content)

    for path in paths:
        write(path, data)

    def spoil(offset, content):
        write(paths[1], data[:offset] + content + data[offset + len(content):])

    return (*paths, spoil, data)


@pytest.mark.parametrize("command", [["read"], ["scan"]])
def test_reader_covers_the_whole_file(pair, command):
    original, copy, spoil, data = pair
    expected = said(*command, original)
    assert expected["bytes"] == len(data)
    assert said(*command, copy)["sum"] == expected["sum"]
    for offset in (0, MIB, 3 * MIB + 8 * KIB):  # the last page, which is a short one, too
        spoil(offset, bytes(4 * KIB))
        assert said(*command, copy)["sum"] != expected["sum"], offset
    if command == ["read"]:  # two pages in each other's place
        at = MIB + 64 * KIB
        spoil(at, data[at + 4 * KIB:at + 8 * KIB] + data[at:at + 4 * KIB])
        assert said(*command, copy)["sum"] != expected["sum"]


def test_reader_ranges_by_any_way_and_number_of_threads(pair):
    original, copy, spoil, _ = pair
    ranges = "0 4096\n1 100000\n1048577 2000000\n3145728 12345\n1048577 2000000\n"
    expected = said("ranges", original, "pread", 1, stdin=ranges)
    assert expected["bytes"] == 4096 + 100000 + 2 * 2000000 + 12345
    for how in ("pread", "mmap"):
        for threads in (1, 3, 8):
            outcome = said("ranges", copy, how, threads, stdin=ranges)
            assert (outcome["sum"], outcome["bytes"]) == (expected["sum"], expected["bytes"])
            assert 0 <= outcome["median_us"] <= outcome["slowest_us"] <= outcome["seconds"] * 1e6
    spoil(2 * MIB, bytes(4 * KIB))
    assert said("ranges", copy, "mmap", 3, stdin=ranges)["sum"] != expected["sum"]
    assert reader("ranges", copy, "pread", 1, stdin=f"{3 * MIB} 12346\n")[0] == 1
    assert reader("ranges", copy, "pread", 1, stdin="0 4096\nno number\n")[0] != 0
    assert reader("ranges", copy, "pread", 1, stdin="")[0] != 0


def test_reader_same_names_the_place(pair):
    original, copy, spoil, data = pair
    assert said("same", copy, original)["bytes"] == len(data)
    spoil(len(data) - 1, bytes([data[-1] ^ 1]))
    status, message = reader("same", copy, original)
    assert status == 1 and str(3 * MIB) in message
    os.truncate(copy, len(data) - 1)
    assert reader("same", copy, original)[0] == 1
    assert reader("same", os.path.join(original, "none"), original)[0] != 0


def test_reader_open_and_cached(pair):
    original = pair[0]
    for how in ("path", "at"):
        assert said("open", original, 10, how)["opens"] == 10
    assert reader("open", original + "-none", 10, "path")[0] == 1
    said("read", original)
    status, outcome = reader("cached", original)
    if status != 0:
        assert "Function not implemented" in outcome
        pytest.skip("no cachestat(2)")
    assert outcome["cached"] >= outcome["bytes"]
    fd = os.open(original, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    assert said("cached", original)["cached"] < outcome["bytes"]


# ---- the link --------------------------------------------------------------------------------------

class Shaper:
    def __init__(self, port, rate, delay):
        self.child = process.spawn([SHAPER, str(port), str(rate), str(delay)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline().split()[1])

    def end(self):
        out, _ = self.child.communicate(timeout=20)
        assert self.child.returncode == 0
        return json.loads(out)


def fetch(port, model, parts):
    """The model in PARTS ranges at once: its digest, and the seconds it took."""
    step = -(-model.size // parts)
    begin = time.monotonic()
    curls = [subprocess.Popen(["curl", "-sSfr", f"{at}-{min(at + step, model.size) - 1}",
                               f"http://127.0.0.1:{port}/s/{model.sha256}"], stdout=subprocess.PIPE)
             for at in range(0, model.size, step)]
    # One after the other: those that wait for us are held back through the proxy.
    digest = hashlib.sha256()
    for curl in curls:
        digest.update(curl.stdout.read())
        curl.stdout.close()
        assert curl.wait(60) == 0
    return digest.hexdigest(), time.monotonic() - begin


def test_link_carries_every_byte_and_no_faster(medium, server):
    rate, delay = 40 * MIB, 30
    shaper = Shaper(server.port, rate, delay)
    digest, seconds = fetch(shaper.port, medium, 1)
    assert digest == medium.sha256
    # A handshake, a request and its reply, and then the bytes, one after the other.
    assert seconds >= 4 * delay / 1000 + medium.size / rate
    digest, _ = fetch(shaper.port, medium, 7)
    assert digest == medium.sha256
    counted = shaper.end()
    assert counted["connections"] == 8
    # 7, and the first one for as long as its end is on the way.
    assert 1 <= counted["at_once"] <= 8
    assert counted["bytes"] >= 2 * medium.size


def test_link_delays_an_answer(server, small):
    """A second request on a connection waits for a round trip, and not for the handshake again."""
    shaper = Shaper(server.port, 10 * MIB, 40)
    with socket.create_connection(("127.0.0.1", shaper.port)) as connection:
        for round_trips in (2, 1):
            begin = time.monotonic()
            connection.sendall(f"GET /s/{small.sha256} HTTP/1.1\r\nHost: localhost\r\n"
                               "Range: bytes=0-0\r\n\r\n".encode())
            reply = b""
            while not reply.endswith(b"\r\n\r\n" + small.read(0, 1)):
                reply += connection.recv(4096)
            assert time.monotonic() - begin >= round_trips * 0.08
            assert reply.startswith(b"HTTP/1.1 206")
    shaper.end()


def test_link_survives_who_leaves(server, medium):
    shaper = Shaper(server.port, 100 * MIB, 1)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", shaper.port)) as connection:
            connection.sendall(f"GET /s/{medium.sha256} HTTP/1.0\r\n\r\n".encode())
            assert connection.recv(4096)
    descriptors = lambda: len(os.listdir(f"/proc/{shaper.child.pid}/fd"))
    # Its own, and none of theirs: stdin, stdout, stderr, epoll, the listening socket.
    wait_until(lambda: descriptors() == 5, "the proxy has closed what was left")
    assert fetch(shaper.port, medium, 2)[0] == medium.sha256
    server.stop()
    with socket.create_connection(("127.0.0.1", shaper.port)) as connection:
        assert connection.recv(1) == b""  # nobody behind it: closed, not left waiting
    shaper.end()


# ---- the table -------------------------------------------------------------------------------------

def line(name, values, **more):
    return json.dumps({"figure": name, "title": name, "unit": "ratio", "values": values,
                       "median": sorted(values)[len(values) // 2], "min": min(values),
                       "max": max(values), **more})


def table(*args):
    return process.run([sys.executable, TABLE, *args])


def test_table_and_where_it_goes(folder):
    path = os.path.join(folder, "bench.json")
    with open(path, "w") as file:
        print(line("fine", [0.96, 0.97, 1.01], bound=0.95, must_be=">=", judged_by="median", ok=True),
              line("worst counts", [1, 2, 30], bound=10, must_be="<=", judged_by="max", ok=False),
              line("only told", [123.4]), json.dumps({"failed": "cold", "error": "WrongBytes: page 7"}),
              sep="\n", file=file)
    text = table(path).stdout
    assert "| fine | ≥ 0.95 | 0.97 (0.96 … 1.01) | yes |" in text
    assert "| worst counts | ≤ 10 | 30 (1 … 30) | **no** |" in text
    assert "| only told |  | 123 |  |" in text
    assert "| cold | | failed: WrongBytes: page 7 | **no** |" in text

    readme = os.path.join(folder, "README.md")
    with open(readme, "w") as file:
        file.write("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    for _ in range(2):  # the second time it takes the place of the first
        assert table(path, "--into", readme).returncode == 0
    with open(readme) as file:
        assert file.read() == f"before\n<!-- bench -->\n{text}<!-- /bench -->\nafter\n"
    with open(readme, "w") as file:
        file.write("no place for it\n")
    assert table(path, "--into", readme).returncode != 0
