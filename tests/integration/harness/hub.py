# SPDX-License-Identifier: Apache-2.0
"""An imitation of huggingface.co, as far as its API is used: models, trees in pages, files by commit; LFS files
lie on a second host (the CDN), to which signed URLs lead.
"""

import hashlib
import hmac
import http.server
import json
import math
import re
import ssl
import threading
import urllib.parse

TOKEN = "hf_abcDEF0123456789"


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class File:
    """LFS: whether it is kept there. LIE: other bytes are served than are said."""

    def __init__(self, data, lfs=False):
        self.data, self.lfs, self.lie = data, lfs, None
        self.sha256, self.blob = hashlib.sha256(data).hexdigest(), git_blob(data)

    def entry(self, path):
        entry = {"type": "file", "oid": self.blob, "size": len(self.data), "path": path}
        if self.lfs:
            entry["oid"] = git_blob(b"pointer of " + self.sha256.encode())
            entry["lfs"] = {"oid": self.sha256, "size": len(self.data), "pointerSize": 134}
            entry["xetHash"] = hashlib.sha256(self.data[::-1]).hexdigest()
        return entry


class Repo:
    """FILES by path. ALLOWED: tokens that may read it where it is gated or private."""

    def __init__(self, files, gated=False, private=False, allowed=()):
        self.files, self.gated, self.private, self.allowed = files, gated, private, set(allowed)
        listed = json.dumps([f.entry(path) for path, f in sorted(files.items())])
        self.commit = hashlib.sha1(listed.encode()).hexdigest()
        self.revisions = {"main": self.commit}

    def entries(self):
        folders = {"/".join(path.split("/")[:n]) for path in self.files
                   for n in range(1, path.count("/") + 1)}
        entries = [{"type": "directory", "oid": git_blob(f.encode()), "size": 0, "path": f}
                   for f in sorted(folders)]
        return entries + [f.entry(path) for path, f in sorted(self.files.items())]


class Refusal(Exception):
    def __init__(self, status, code, text):
        self.status, self.code, self.text = status, code, text


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler, certificate):
        super().__init__(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        # The handshake is the connection's own thread's, at the first read.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def handle_error(self, request, client_address):
        pass  # clients end as they like

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    hub = None  # the class of each hub has its own

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", held=math.inf, **headers):
        """What is behind the first HELD bytes of BODY waits."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if held < len(body):
            self.wfile.write(body[:max(held, 0)])
            self.wfile.flush()
            self.hub.go.wait()
            body = body[max(held, 0):]
        self.wfile.write(body)

    def reply_json(self, value, **headers):
        self.reply(200, json.dumps(value).encode(), Content_Type="application/json; charset=utf-8",
                   **headers)

    def reply_bytes(self, data, **headers):
        """All of DATA, or the range that is asked for."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not found:
            return self.reply(200, data, Accept_Ranges="bytes", **headers)
        first = int(found[1])
        last = min(int(found[2] or len(data) - 1), len(data) - 1)
        if first > last:
            return self.reply(416, Content_Range=f"bytes */{len(data)}", **headers)
        self.reply(206, data[first:last + 1], held=self.hub.held_from - first,
                   Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.hub.note(self.name, self.path, self.headers.get("Authorization"))
        if self.hub.is_busy(self.path):
            return self.reply(429, b'{"error":"Too Many Requests"}', Retry_After=self.hub.retry_after)
        try:
            self.answer(urllib.parse.unquote(url.path), url.path,
                        dict(urllib.parse.parse_qsl(url.query)))
        except Refusal as no:
            self.reply(no.status, json.dumps({"error": no.text}).encode(), X_Error_Code=no.code,
                       X_Error_Message=no.text, Content_Type="application/json; charset=utf-8")


class Api(Handler):
    name = "hub"

    def answer(self, path, quoted, query):
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(auth-check|(revision|tree)/([^/]+))", quoted)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", quoted)
        if not api and not file:
            raise Refusal(404, "", "Sorry, we can't find the page you are looking for.")
        repo = self.repo((api or file)[1])
        if api and api[2] == "auth-check":
            self.check(repo)
            self.reply_json({})
        elif api:
            commit = self.commit(repo, urllib.parse.unquote(api[4]))
            (self.model if api[3] == "revision" else self.tree)(api[1], repo, commit, query)
        else:
            self.check(repo)
            self.commit(repo, file[2])
            self.file(repo, urllib.parse.unquote(file[3]))

    def may_read(self, repo):
        authorization = self.headers.get("Authorization", "")
        return authorization.startswith("Bearer ") and authorization[7:] in repo.allowed

    def repo(self, name):
        authorization = self.headers.get("Authorization")
        if authorization and authorization[7:] not in self.hub.tokens:
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        repo = self.hub.repos.get(name)
        if repo is None or repo.private and not self.may_read(repo):
            # Nobody is told which of both it is.
            if not authorization:
                raise Refusal(401, "RepoNotFound", "Invalid username or password.")
            raise Refusal(404, "RepoNotFound", "Repository not found")
        return repo

    def check(self, repo):
        if not repo.gated or self.may_read(repo):
            return
        text = "Access to this model is restricted."
        raise Refusal(403 if self.headers.get("Authorization") else 401, "GatedRepo", text)

    @staticmethod
    def commit(repo, revision):
        if revision in repo.revisions:
            return repo.revisions[revision]
        if revision == repo.commit:
            return revision
        raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def model(self, name, repo, commit, query):
        self.reply_json({"id": name, "modelId": name, "sha": commit, "private": repo.private,
                         "gated": "manual" if repo.gated else False, "disabled": False,
                         "siblings": [{"rfilename": path} for path in sorted(repo.files)]})

    def tree(self, name, repo, commit, query):
        assert query.get("recursive") == "true"
        entries, size = repo.entries(), self.hub.page
        first = int(query.get("cursor", 0))
        headers = {}
        if first + size < len(entries):
            url = (f"{self.hub.next_base or self.hub.url}/api/models/{name}/tree/{commit}"
                   f"?recursive=true&expand=false&limit={size}&cursor={first + size}")
            headers["Link"] = f'<{url}>; rel="next"'
        self.reply_json(entries[first:first + size], **headers)

    def file(self, repo, path):
        if path not in repo.files:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        if path in self.hub.missing:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        file = repo.files[path]
        data = file.data if file.lie is None else file.lie
        if not file.lfs:
            return self.reply_bytes(data, ETag=f'"{file.blob}"', X_Repo_Commit=repo.commit)
        self.reply(302, b"Found", Location=self.hub.sign(file), X_Repo_Commit=repo.commit,
                   X_Linked_Size=str(len(file.data)), X_Linked_ETag=f'"{file.sha256}"',
                   ETag=f'"{file.blob}"')


class Cdn(Handler):
    name = "cdn"

    def answer(self, path, quoted, query):
        sha256 = path.rpartition("/")[2]
        if not hmac.compare_digest(query.get("Signature", ""), self.hub.signature(sha256)):
            raise Refusal(403, "", "AccessDenied")
        file = next(f for repo in self.hub.repos.values() for f in repo.files.values()
                    if f.sha256 == sha256)
        self.reply_bytes(file.data if file.lie is None else file.lie, ETag=f'"{sha256}"')


class Conversation:
    """What all servers note: who was asked for what, with which credential; and who is refused with 429."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = []  # protected by lock, as busy: (server, path, Authorization)
        self.busy = {}  # how often a path that matches is refused with 429: {pattern: times}
        self.retry_after = "0"
        self.held_from = math.inf    # where ranges of files stop until
        self.go = threading.Event()  # this is set

    def note(self, server, path, authorization):
        with self.lock:
            self.seen.append((server, path, authorization))

    def requests(self, server="hub", pattern=""):
        with self.lock:
            return [entry for entry in self.seen if entry[0] == server and re.search(pattern, entry[1])]

    def is_busy(self, path):
        with self.lock:
            for pattern, times in self.busy.items():
                if times > 0 and re.search(pattern, path):
                    self.busy[pattern] -= 1
                    return True
        return False


class Hub(Conversation):
    """REPOS by name. Any of `page`, `busy`, `missing`, `next_base` may be changed while it runs."""

    def __init__(self, certificate, repos, tokens=(TOKEN,)):
        super().__init__()
        self.repos, self.tokens = repos, set(tokens)
        self.page = 1000      # entries of a tree
        self.missing = set()  # listed, and not there
        self.next_base = None # where trees go on, if not here
        self.api = Server(type("TheApi", (Api,), {"hub": self}), certificate)
        self.cdn = Server(type("TheCdn", (Cdn,), {"hub": self}), certificate)
        self.url = f"https://127.0.0.1:{self.api.server_port}"
        self.cdn_url = f"https://localhost:{self.cdn.server_port}"

    @staticmethod
    def signature(sha256):
        return hmac.new(b"secret", sha256.encode(), "sha256").hexdigest()[:32]

    def sign(self, file):
        return (f"{self.cdn_url}/repos/00/11/{file.sha256}?response-content-disposition=attachment"
                f"&Expires=4102444800&Signature={self.signature(file.sha256)}&Key-Pair-Id=K2FPYV99P2N66Q")

    def stop(self):
        self.go.set()
        self.api.stop()
        self.cdn.stop()
