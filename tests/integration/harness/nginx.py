# SPDX-License-Identifier: Apache-2.0
"""A real nginx with a folder of its own on a loopback port, and what its access log says."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.request

from . import process
from .poll import wait_until

CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
	log_format line escape=json '{{"method":"$request_method","uri":"$uri","status":$status,'
		'"connection":$connection,"body":$body_bytes_sent,"range":"$http_range","protocol":"$server_protocol",'
		'"authorization":"$http_authorization","host":"$host","agent":"$http_user_agent",'
		'"referer":"$http_referer","origin":"$http_origin","encoding":"$http_accept_encoding"}}';
	access_log {folder}/access.log line;
	client_body_temp_path {folder}/tmp-body;
	proxy_temp_path {folder}/tmp-proxy;
	fastcgi_temp_path {folder}/tmp-fastcgi;
	scgi_temp_path {folder}/tmp-scgi;
	uwsgi_temp_path {folder}/tmp-uwsgi;
	default_type application/octet-stream;
	sendfile on;
	keepalive_requests 1000000;
	server {{
		listen 127.0.0.1:{port}{tls};
		server_name localhost;
		{certificate}
		root {root};
		{rate}
		{extra}
	}}
	server {{
		listen 127.0.0.1:{status_port};
		access_log off;
		location = /status {{ stub_status; }}
	}}
}}
"""


def free_ports(count):
    """Ports that are free now; all distinct."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


class Request(dict):
    """A line of the access log."""

    @property
    def is_probe(self):
        """Asks for the size only."""
        return self["range"] == "bytes=0-0"


class Nginx:
    """RATE: bytes a second for each connection. EXTRA: lines for the server block."""

    def __init__(self, folder, root, certificate=None, http2=False, rate=None, extra=""):
        self.folder, self.root, self.certificate, self.http2 = folder, root, certificate, http2
        self.rate, self.extra = rate, extra
        os.makedirs(folder, exist_ok=True)
        self.port, self.status_port = free_ports(2)
        self.child = None
        self.mark_at = 0

    @property
    def url(self):
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    @property
    def log_path(self):
        return os.path.join(self.folder, "access.log")

    def configure(self):
        tls, certificate = "", ""
        if self.certificate:
            tls = " ssl http2" if self.http2 else " ssl"
            certificate = (f"ssl_certificate {self.certificate.chain};\n"
                           f"ssl_certificate_key {self.certificate.key};")
        config = CONFIG.format(
            folder=self.folder, port=self.port, status_port=self.status_port, tls=tls,
            certificate=certificate, root=self.root, extra=self.extra,
            rate=f"limit_rate {self.rate};" if self.rate else "")
        if os.geteuid() == 0:
            config = "user root;\n" + config
        with open(os.path.join(self.folder, "nginx.conf"), "w") as file:
            file.write(config)

    def start(self):
        self.configure()
        self.child = process.spawn(
            ["nginx", "-p", self.folder, "-c", os.path.join(self.folder, "nginx.conf"),
             "-e", os.path.join(self.folder, "error.log")],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, "nginx answers")
        return self

    def answers(self):
        if self.child.poll() is not None:
            with open(os.path.join(self.folder, "error.log")) as log:
                raise AssertionError(f"nginx ended: {log.read()}")
        try:
            return self.status()
        except OSError:
            return None

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/status",
                                    timeout=5) as reply:
            return reply.read().decode()

    def stop(self):
        """At once, as a crash of the server."""
        if self.child:
            process.kill_group(self.child)
            self.child = None

    def pause(self):
        os.kill(self.child.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.child.pid, signal.SIGCONT)

    def set_rate(self, rate):
        """Takes effect with a restart."""
        self.stop()
        self.rate = rate
        self.start()

    # ---- the log: a line is written when its request has ended

    def quiet(self):
        """Waits until no request but our own question is being answered."""
        wait_until(lambda: re.search(r"Writing: 1\b", self.status()), "nginx has sent everything")

    def mark(self):
        """Forget what was logged so far."""
        if self.child:
            self.quiet()
        self.mark_at = os.path.getsize(self.log_path)

    def requests(self, uri=None, probes=False):
        """The requests since the mark, ended and all; without those that only ask for a size."""
        if self.child:
            self.quiet()
        return [r for r in self.ended() if (uri is None or r["uri"] == uri) and (probes or not r.is_probe)]

    def ended(self):
        """All requests that have ended by now; does not wait for those under way."""
        with open(self.log_path) as log:
            log.seek(self.mark_at)
            text = log.read()
        return [Request(json.loads(line)) for line in text.splitlines() if line.endswith("}")]

    def body_bytes(self, uri=None):
        return sum(r["body"] for r in self.requests(uri))

    def logged_so_far(self, uri):
        """Body bytes of the requests that have ended."""
        return sum(request["body"] for request in self.ended() if request["uri"] == uri)
