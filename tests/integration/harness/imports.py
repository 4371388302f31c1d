# SPDX-License-Identifier: Apache-2.0
"""What users import, by hand: the operation `import`, which takes any list; and a server of a user's own."""

import contextlib
import http.server
import json
import os
import threading
import time

from . import process
from .paths import PYTHON

CATALOG = """
import array, json, os, socket, sys
path, request = sys.argv[1:]
text = sys.stdin.read()  # it may be too much for an argument
memory = os.memfd_create("catalog") if text else os.open("/etc/passwd", os.O_RDONLY)
if text:
    os.write(memory, text.encode())
client = socket.socket(socket.AF_UNIX)
client.connect(path)
client.sendmsg([request.encode() + b"\\n"],
               [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory]))])
print(client.makefile().readline())
"""


def give(mounted, caller, text, name="hf", **members):
    """TEXT is imported by the user CALLER; the answer."""
    result = process.run([PYTHON, "-c", CATALOG, os.path.join(mounted.store, "control.sock"),
                          json.dumps({"op": "import", "name": name, **members})], uid=caller, input=text)
    return json.loads(result.stdout)


def text_of(*lines, name="hf"):
    header = {"weightfs-catalog": 1, "name": name, "serial": 0, "expires": "2099-01-01T00:00:00Z"}
    return "".join(json.dumps(line) + "\n" for line in (header, *lines))


def claim(mounted, caller, digest, size, url, file="org/x@1/file"):
    """CALLER says that there is such an object, there; its path."""
    os.chmod(mounted.store, 0o711)
    answer = give(mounted, caller, text_of({"sha256": digest, "size": size, "names": [file], "urls": [url]}))
    assert answer["new"] == 1, answer
    return mounted.path("name", "hf", file)


class Claimer(http.server.ThreadingHTTPServer):
    """Says of any object that it has SIZE bytes, and gives RATE of them a second (0: none), which are wrong."""

    daemon_threads = True

    def __init__(self, size, rate=0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.size, self.rate, self.asked = size, rate, []
        self.url = f"http://127.0.0.1:{self.server_port}/x"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        size, rate = self.server.size, self.server.rate
        first, last = (int(n) for n in self.headers["Range"][len("bytes="):].split("-"))
        left = min(last, size - 1) + 1 - first
        self.server.asked.append(left)
        if left > 1 and not rate:
            self.send_error(404)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + left - 1}/{size}")
        self.send_header("Content-Length", str(left))
        self.end_headers()
        with contextlib.suppress(OSError):
            while left > 0:
                n = min(left, max(rate // 10, 1))
                self.wfile.write(b"x" * n)
                left -= n
                if left:
                    time.sleep(0.1)
