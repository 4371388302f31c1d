# SPDX-License-Identifier: Apache-2.0
"""The manners of hostile.py: each answers one request, an Exchange."""

import gzip
import json
import os
import re
import socket
import ssl
import urllib.parse

CHUNK = 512 * 1024
PIECE = 256 * 1024    # what is sent at a time


class Close(Exception):
    """Ends the connection after what was sent."""


def honest(x):
    name = x.file()
    span = name and x.span(os.path.getsize(name))
    if not span:
        return
    start, end, ranged = span
    fields = {"Content-Length": end - start, "Accept-Ranges": "bytes"}
    if ranged:
        fields["Content-Range"] = f"bytes {start}-{end - 1}/{os.path.getsize(name)}"
    x.head(206 if ranged else 200, fields)
    if x.method == "HEAD":
        return
    with open(name, "rb") as file:
        # sendfile where the kernel can: the server must not be what a measurement measures.
        if isinstance(x.connection, ssl.SSLSocket):
            file.seek(start)
            x.body(file.read(end - start))
            return
        while start < end:
            n = os.sendfile(x.connection.fileno(), file.fileno(), start, end - start)
            if n == 0:
                raise Close
            x.record["sent"] += n
            start += n


def simple(change, whole=False):
    """A manner that changes (data, status, fields) of an honest reply and sends that."""
    def answer(x):
        part = x.part(whole=whole)
        if part:
            data, status, fields = change(x, *part)
            x.head(status, fields)
            x.body(data)
            if fields.get("Connection") == "close":
                raise Close
    return answer


def norange(x, data, status, fields):
    return data, status, fields


def wrongrange(x, data, status, fields):
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", fields.get("Content-Range", ""))
    if match:
        first, last, size = map(int, match.groups())
        fields["Content-Range"] = f"bytes {first + 1}-{last + 1}/{size + 1}"
    return data, status, fields


def short(x, data, status, fields):
    return data[:max(0, len(data) - 7)], status, {**fields, "Connection": "close"}


def early(x, data, status, fields):
    return data[:len(data) // 2], status, {**fields, "Connection": "close"}


def early_chunks(x, data, status, fields):
    # A few bytes into the second one, so that a partial chunk has to be thrown away.
    return data[:CHUNK + 1000], status, {**fields, "Connection": "close"}


def flipped(data, at=None):
    at = len(data) // 2 if at is None else at
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:] if data else data


def flip(x, data, status, fields):
    return flipped(data), status, fields


def flipfirst(x, data, status, fields):
    return (data if x.server.state.count(x.key) else flipped(data)), status, fields


def other(x, data, status, fields):
    return bytes(byte ^ 0x5a for byte in data), status, fields


def lengthlie(x, data, status, fields):
    return data + b"x", status, {**fields, "Content-Length": len(data) + 1}


def nolength(x, data, status, fields):
    return data, status, {**fields, "Content-Length": None, "Connection": "close"}


def coded(x, data, status, fields):
    data = gzip.compress(data, 1)
    return data, status, {**fields, "Content-Length": len(data), "Content-Encoding": "gzip"}


def unknownsize(x, data, status, fields):
    value = fields.get("Content-Range", "").rpartition("/")[0] + "/*"
    return data, status, {**fields, "Content-Range": value}


def halfrange(x, data, status, fields):
    """Says 206 and gives the right bytes, but no Content-Range."""
    return data, status, {**fields, "Content-Range": None}


def overrun(x):
    """All bytes, and then some, in chunked coding."""
    part = x.part()
    if part:
        data, status, fields = part
        x.head(status, {**fields, "Content-Length": None, "Transfer-Encoding": "chunked"})
        x.chunked(data)
        x.chunked(b"surplus" * 1000)
        x.connection.sendall(b"0\r\n\r\n")


def endless(x):
    """The right bytes, then zeros for ever: or ?length= bytes in all."""
    part = x.part()
    if part:
        data, status, fields = part
        x.head(status, {**fields, "Content-Length": None, "Transfer-Encoding": "chunked"})
        x.chunked(data)
        while x.record["sent"] < int(x.query.get("length", 1 << 62)):
            x.chunked(bytes(PIECE))
        raise Close


def endless_headers(x):
    x.connection.sendall(b"HTTP/1.1 206 Partial Content\r\n")
    while True:
        x.connection.sendall(b"X-Padding: " + b"x" * 1000 + b"\r\n")


def slow(x):
    part = x.part()
    if part:
        data, status, fields = part
        x.head(status, fields)
        rate = int(x.query.get("rate", 1))
        for at in range(0, len(data), rate):
            x.body(data[at:at + rate])
            if x.server.stopped.wait(1):
                raise Close


def uneven(x):
    """A little first, so that nothing that follows is aligned to anything."""
    part = x.part()
    if part:
        x.head(part[1], part[2])
        x.body(part[0][:10007])
        x.server.stopped.wait(0.1)
        x.body(part[0][10007:])


def stall(x):
    part = x.part()
    if part:
        x.head(part[1], part[2])
        x.server.stopped.wait()
        raise Close


def stallhead(x):
    """Takes the request and never says a word."""
    x.server.stopped.wait()
    raise Close


def hang(x):
    """Never answers the first ?times= requests for a path."""
    if x.server.state.count(x.key) < int(x.query.get("times", 1)):
        stallhead(x)
    honest(x)


def gated(x):
    """Honest, but for a body nobody moves before the gate is open. (A question for the size is none.)"""
    while x.headers.get("range") != "bytes=0-0" and not x.server.state.gate.wait(0.2):
        if x.server.stopped.is_set():
            raise Close
    honest(x)


def limited(x):
    """Serves ?most= at a time, each for a while, and sends the others away."""
    state, key = x.server.state, ("serving",) + x.key
    with state.lock:
        serving = state.counts.get(key, 0)
        refused = serving >= int(x.query.get("most", 2))
        state.counts[key] = serving + (not refused)
    if refused:
        x.answer(429, "too many\n")
        return
    try:
        part = x.part()
        if part:
            x.head(part[1], part[2])
            for at in range(0, len(part[0]), PIECE):
                x.body(part[0][at:at + PIECE])
                x.server.stopped.wait(0.01)
    finally:
        with state.lock:
            state.counts[key] = state.counts.get(key, 1) - 1


def stallhalf(x):
    """Half of the body, then nothing."""
    part = x.part()
    if part:
        x.head(part[1], part[2])
        x.body(part[0][:len(part[0]) // 2])
        x.server.stopped.wait()
        raise Close


def fail(x):
    x.answer(int(x.query.get("status", 500)), "no\n")


def flaky(x):
    if x.server.state.count(x.key) < int(x.query.get("times", 2)):
        x.answer(500, "not yet\n")
    else:
        honest(x)


def throttle(x):
    if x.server.state.count(x.key) < int(x.query.get("times", 1)):
        x.answer(429, "slow down\n", Retry_After=x.query.get("after", "1"))
    else:
        honest(x)


def reset(x):
    """Resets the connection instead of an answer."""
    x.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    raise Close


def garbage(x):
    x.connection.sendall(b"\x00\x01\x02 this is not HTTP\r\n\r\n" * 10)
    raise Close


def redirect(x, location):
    x.answer(int(x.query.get("status", 302)), "elsewhere\n", Location=location)


def redirect_other(x):
    base = x.query.get("to") or x.server.redirect_to
    redirect(x, base.rstrip("/") + "/honest/" + urllib.parse.quote(x.path))


def redirect_loopback(x):
    redirect(x, f"http://127.0.0.1:{x.server.port}/honest/" + urllib.parse.quote(x.path))


def redirect_relative(x):
    redirect(x, "../honest/" + urllib.parse.quote(x.path))


def redirect_signed(x):
    """To a URL that is good for three requests, like a hub's signed ones."""
    redirect(x, f"/signed/{x.server.state.count(('sign', x.path))}/" + urllib.parse.quote(x.path))


def signed(x):
    number, _, x.path = x.path.partition("/")
    if x.server.state.count(("signed", number, x.path)) < 3:
        honest(x)
    else:
        x.answer(403, "expired\n")


def redirect_endless_body(x):
    x.head(302, {"Location": "/honest/" + urllib.parse.quote(x.path), "Transfer-Encoding": "chunked"})
    while True:
        x.chunked(bytes(PIECE))


def redirect_loop(x):
    redirect(x, x.target)


def redirect_file(x):
    redirect(x, "file://" + os.path.join(os.path.realpath(x.server.root), x.path))


def document(x):
    part = x.part(whole=True)
    if x.headers.get("if-none-match") == '"v1"':
        x.head(304, {"ETag": '"v1"'})
    elif part:
        x.head(200, {**part[2], "ETag": '"v1"', "Content-Type": "application/json",
                     "Link": '<?page=2>; rel="next"'})
        x.body(part[0])


def registry(x):
    """As the OCI distribution specification has it: a token from ?realm= (/token/ here), good for ?uses= requests."""
    token = x.headers.get("authorization", "").removeprefix("Bearer ")
    state = x.server.state
    with state.lock:
        issued = ("issued", token) in state.counts
    if issued and state.count(("used", token)) < int(x.query.get("uses", 1 << 30)):
        honest(x)
        return
    realm = x.query.get("realm", f"http://{x.headers['host']}/token/x")
    x.answer(401, "who are you?\n", WWW_Authenticate=f'Bearer realm="{realm}",service="a \\"test\\"",'
                                                     f'scope="repository:{os.path.dirname(x.path)}:pull,push"')


def token(x):
    """?status=: refuses; ?hang=: never answers."""
    if "hang" in x.query:
        stallhead(x)
    if "status" in x.query:
        x.answer(int(x.query["status"]), "{}")
        return
    name = f"t{x.server.state.count('token')}"
    x.server.state.count(("issued", name))
    x.answer(200, json.dumps({"token": name, "expires_in": 300}), Content_Type="application/json")


MANNERS = {
    "honest": honest,
    "norange": simple(norange, whole=True),    # ignores Range: 200 and the whole file
    "wrongrange": simple(wrongrange),          # Content-Range is off by one
    "short": simple(short),                    # seven bytes short, then closes
    "long": overrun,                           # more bytes than announced (chunked coding)
    "endless": endless,                        # never ends
    "endless-headers": endless_headers,
    "flip": simple(flip),                      # one flipped byte in each reply
    "flipfirst": simple(flipfirst),            # only in the first reply for a path
    "other": simple(other),                    # as long, but other bytes
    "slow": slow,                              # a byte a second
    "uneven": uneven,                          # right, in odd pieces
    "stall": stall,                            # headers, then nothing
    "stall-head": stallhead,                   # nothing
    "hang": hang,                              # nothing for the first request (?times=), then honest
    "gated": gated,                            # nothing before POST /open, then honest
    "limited": limited,                        # two at a time (?most=), 429 for the others
    "stall-half": stallhalf,                   # half of the body, then nothing
    "early": simple(early),                    # closes after half of the body
    "early-chunks": simple(early_chunks),      # closes after one chunk (512 KiB) and a little
    "reset": reset,                            # RST instead of an answer
    "garbage": garbage,                        # not HTTP
    "fail": fail,                              # always 500 (?status=)
    "flaky": flaky,                            # 500 twice per path, then honest
    "throttle": throttle,                      # 429 with Retry-After: 1 once per path, then honest
    "redirect-other": redirect_other,          # to /honest/ of ?to= or --redirect-to
    "redirect-loopback": redirect_loopback,    # to /honest/ of http://127.0.0.1
    "redirect-relative": redirect_relative,
    "redirect-signed": redirect_signed,        # to a URL that runs out
    "signed": signed,
    "redirect-endless": redirect_endless_body, # with a body that never ends
    "redirect-loop": redirect_loop,
    "redirect-file": redirect_file,            # to file://
    "gzip": simple(coded),                     # Content-Encoding although nobody asked
    "lengthlie": simple(lengthlie),            # Content-Length and Content-Range disagree
    "nolength": simple(nolength),              # right, but without Content-Length
    "norange-nolength": simple(nolength, whole=True),  # 200, the whole file, ended by closing
    "unknown-size": simple(unknownsize),       # Content-Range: bytes a-b/*
    "no-content-range": simple(halfrange),
    "document": document,                      # with an ETag, and 304 for it
    "registry": registry,                      # wants a token
    "token": token,                            # gives one
    "refusal": lambda x: x.answer(403, "no, " * 50000),
    "missing": lambda x: x.answer(404, "no such file\n"),
    "forbidden": lambda x: x.answer(403, "no\n"),
}
