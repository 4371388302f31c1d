#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 server that serves files honestly, or misbehaves in one chosen way.

    hostile.py --root DIR [--host 127.0.0.1] [--port 0] [--cert FILE --key FILE]
               [--redirect-to BASE] [--never-accept]

Prints one line, `port N`, when it is ready; ends when its standard input is closed, or on SIGTERM.
A request for /MANNER/PATH is answered with the file DIR/PATH in that manner: see MANNERS in manners.py.
`GET /log` gives one JSON object a line for every request so far, `POST /reset` forgets them and
everything that was counted per path, `POST /open` opens the gate of the manner "gated". None is in the log.

Parameters in the query: ?to=BASE for redirect-other, ?status=N for fail and redirects, ?length=N for
endless, ?times=N for flaky, throttle and hang, ?after=SECONDS for throttle, ?rate=N for slow,
?most=N for limited.
"""

import argparse
import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
import urllib.parse

sys.dont_write_bytecode = True    # nothing is left among the sources

from manners import MANNERS, PIECE, Close

REASONS = {200: "OK", 206: "Partial Content", 302: "Found", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 416: "Range Not Satisfiable", 429: "Too Many Requests",
           500: "Internal Server Error", 503: "Service Unavailable"}


class State:
    """What all connections share; everything in it is guarded by the lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.reset()

    def reset(self):
        with self.lock:
            self.log = []
            self.counts = {}
            self.gate.clear()

    def count(self, key):
        """How often was this called with KEY before?"""
        with self.lock:
            self.counts[key] = self.counts.get(key, 0) + 1
            return self.counts[key] - 1


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, server, connection, method, target, headers):
        self.server, self.connection = server, connection
        self.method, self.headers = method, headers
        url = urllib.parse.urlsplit(target)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.target = url.path
        self.manner, _, self.path = urllib.parse.unquote(url.path).lstrip("/").partition("/")
        self.key = (self.manner, self.path)
        self.record = {"method": method, "path": target, "range": headers.get("range"),
                       "headers": headers, "sent": 0, "status": None}

    # --- sending ---

    def head(self, status, fields):
        self.record["status"] = status
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
        self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    def body(self, data):
        """Every body byte goes through here, so that the log can tell how many were sent."""
        if self.method == "HEAD":
            return
        view = memoryview(data)
        while view:
            n = self.connection.send(view[:PIECE])
            self.record["sent"] += n
            view = view[n:]

    def chunked(self, data):
        if self.method != "HEAD":
            self.connection.sendall(f"{len(data):x}\r\n".encode())
            self.body(data)
            self.connection.sendall(b"\r\n")

    def answer(self, status, text="", **fields):
        data = text.encode()
        self.head(status, {"Content-Length": len(data),
                           **{name.replace("_", "-"): value for name, value in fields.items()}})
        self.body(data)

    # --- the file ---

    def file(self, path=None):
        """The name of the file that is asked for, or None after a 404."""
        root = os.path.realpath(self.server.root)
        name = os.path.realpath(os.path.join(root, path or self.path))
        if name.startswith(root + os.sep) and os.path.isfile(name):
            return name
        self.answer(404, "no such file\n")
        return None

    def span(self, size):
        """(first, last + 1, whether a valid range was asked for); None after a 416."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("range", ""))
        if not match or match.groups() == ("", ""):
            return 0, size, False
        first, last = match.groups()
        if first == "":
            start, end = max(0, size - int(last)), size
        else:
            start, end = int(first), min(size, int(last) + 1) if last else size
        if start >= size or start >= end:
            self.answer(416, Content_Range=f"bytes */{size}")
            return None
        return start, end, True

    def part(self, path=None, whole=False):
        """(bytes, status, header fields) of an honest reply; None after an error reply."""
        name = self.file(path)
        if not name:
            return None
        size = os.path.getsize(name)
        span = (0, size, False) if whole else self.span(size)
        if not span:
            return None
        start, end, ranged = span
        with open(name, "rb") as file:
            file.seek(start)
            data = file.read(end - start)
        fields = {"Content-Length": len(data), "Accept-Ranges": "bytes"}
        if ranged:
            fields["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return data, 206 if ranged else 200, fields


class Server:
    def __init__(self, args):
        self.root, self.redirect_to = args.root, args.redirect_to
        self.state, self.stopped = State(), threading.Event()
        self.tls = None
        if args.cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(args.cert, args.key)
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((args.host, args.port))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(0 if args.never_accept else 128)
        if args.never_accept:
            self.fill_queue(family, args.host)

    def fill_queue(self, family, host):
        """With a full backlog the kernel drops further SYNs: a host that does not answer."""
        self.fillers = []
        for _ in range(4):
            filler = socket.socket(family, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex((host, self.port))
            self.fillers.append(filler)

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as lines:
                while self.serve_one(connection, lines):
                    pass
        except (OSError, ValueError, Close):
            pass
        finally:
            connection.close()

    def serve_one(self, connection, lines):
        """False when the client has gone."""
        request = lines.readline(65536).decode("latin-1").split()
        if len(request) != 3:
            return False
        headers = {}
        while (line := lines.readline(65536).decode("latin-1").strip()):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        lines.read(int(headers.get("content-length", 0)))
        x = Exchange(self, connection, request[0], request[1], headers)
        if x.target == "/log":
            with self.state.lock:
                text = "".join(json.dumps(record) + "\n" for record in self.state.log)
            x.answer(200, text, Content_Type="application/jsonl")
        elif x.target == "/reset":
            self.state.reset()
            x.answer(200)
        elif x.target == "/open":
            self.state.gate.set()
            x.answer(200)
        else:
            self.answer(x)
        return headers.get("connection", "").lower() != "close"

    def answer(self, x):
        with self.state.lock:
            self.state.log.append(x.record)
        if x.method not in ("GET", "HEAD"):
            x.answer(405, "GET and HEAD only\n")
        elif x.manner in MANNERS:
            MANNERS[x.manner](x)
        else:
            x.answer(404, f"no such manner: {x.manner}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--redirect-to", default="")
    parser.add_argument("--never-accept", action="store_true")
    server = Server(parser.parse_args())

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"port {server.port}", flush=True)
    if not hasattr(server, "fillers"):
        threading.Thread(target=server.run, daemon=True).start()
    try:
        while os.read(0, 4096):
            pass
    except KeyboardInterrupt:
        pass
    server.stopped.set()
    os._exit(0)


if __name__ == "__main__":
    main()
