# SPDX-License-Identifier: Apache-2.0
"""Imitations of what models come from beside huggingface.co: a registry as the OCI distribution specification has it
(with tokens from a second host, and blobs that lie on a third), Ollama's, a gateway of IPFS, mirrors.
"""

import base64
import hashlib
import json
import re

from .hub import Conversation, Handler, Refusal, Server

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
USER, PASSWORD = "anna", "the password"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def basic(user=USER, password=PASSWORD):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def base32(data):
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


def cid(data, codec=0x55):
    """CID version 1 of one raw block; with another codec of something that only looks like it."""
    return base32(bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(data).digest())


class ApiHandler(Handler):
    """Refusals as the specification writes them."""

    def reply(self, status, body=b"", **headers):
        if status == 429:
            body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "too many requests"}]}).encode()
        super().reply(status, body, **headers)

    def refuse(self, status, code, text, **headers):
        body = json.dumps({"errors": [{"code": code, "message": text, "detail": None}]}).encode()
        self.reply(status, body, Content_Type="application/json", **headers)


class RegistryApi(ApiHandler):
    name = "registry"

    def answer(self, path, quoted, query):
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if not found:
            return self.refuse(404, "NOT_FOUND", "not found")
        name, kind, reference = found.groups()
        repo = self.hub.repos.get(name)
        if not self.may_read(name, repo):
            return None
        if repo is None:
            return self.refuse(404, "NAME_UNKNOWN", "repository name not known to registry")
        if kind == "blobs":
            return self.blob(repo, reference)
        return self.manifest(repo, reference)

    def may_read(self, name, repo):
        if self.hub.scheme is None:
            return True
        if self.headers.get("Authorization") in self.hub.accepted(name, repo):
            return True
        if self.hub.scheme == "Basic":
            challenge = 'Basic realm="registry"'
        else:
            challenge = (f'Bearer realm="{self.hub.token_url}/token",service="registry.example",'
                         f'scope="repository:{name}:pull"')
        self.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)
        return False

    def manifest(self, repo, reference):
        body, kind = repo.manifests.get(repo.tags.get(reference, reference), (None, None))
        if body is None:
            return self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if kind not in self.headers.get("Accept", ""):
            return self.refuse(404, "MANIFEST_UNKNOWN", "no manifest of a kind that is accepted")
        digest = repo.said or f"sha256:{sha256(body)}"
        return self.reply(200, body if repo.lie is None else repo.lie, Content_Type=kind,
                          Docker_Content_Digest=digest)

    def blob(self, repo, digest):
        if digest not in repo.blobs:
            return self.refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return self.reply(307, Location=f"{self.hub.blob_url}/{digest}?signature=x", Docker_Content_Digest=digest)


class Tokens(ApiHandler):
    name = "tokens"

    def answer(self, path, quoted, query):
        name = re.fullmatch(r"repository:(.+):pull", query["scope"])[1]
        authorization = self.headers.get("Authorization")
        if authorization and authorization != f"Basic {basic()}":
            return self.refuse(401, "UNAUTHORIZED", "incorrect username or password")
        if not authorization and self.hub.is_private(name) and self.hub.deny_tokens:
            return self.refuse(403, "DENIED", "requested access to the resource is denied")
        return self.reply_json({"token": self.hub.token(name, bool(authorization)), "expires_in": 300})


class Blobs(ApiHandler):
    name = "blobs"

    def answer(self, path, quoted, query):
        assert query.get("signature") == "x" and "Authorization" not in self.headers
        data = next(repo.blobs[path[1:]] for repo in self.hub.repos.values() if path[1:] in repo.blobs)
        self.reply_bytes(data)


class Repo:
    """LIE: other bytes that are served as each manifest; SAID: what is said to be its digest."""

    def __init__(self, private=False):
        self.private, self.lie, self.said = private, None, None
        self.blobs, self.manifests, self.tags = {}, {}, {}

    def add_blob(self, data, media_type="application/octet-stream", **annotations):
        digest = f"sha256:{sha256(data)}"
        self.blobs[digest] = data
        descriptor = {"mediaType": media_type, "digest": digest, "size": len(data)}
        if annotations:
            descriptor["annotations"] = {f"org.opencontainers.image.{k}": v for k, v in annotations.items()}
        return descriptor

    def add_manifest(self, value, kind, *tags):
        body = json.dumps({"schemaVersion": 2, "mediaType": kind, **value}).encode()
        digest = f"sha256:{sha256(body)}"
        self.manifests[digest] = body, kind
        self.tags.update({tag: digest for tag in tags})
        return {"mediaType": kind, "digest": digest, "size": len(body)}

    def add_model(self, layers, *tags, kind=OCI, config="application/vnd.cncf.model.config.v1+json"):
        return self.add_manifest({"config": self.add_blob(b"{}", config), "layers": layers}, kind, *tags)


class Registry(Conversation):
    """REPOS by name. SCHEME: how it asks for credentials: "Bearer", "Basic" or None."""

    def __init__(self, certificate, repos, scheme="Bearer", deny_tokens=False):
        super().__init__()
        self.repos, self.scheme, self.deny_tokens = repos, scheme, deny_tokens
        self.servers = [Server(type("The" + handler.__name__, (handler,), {"hub": self}), certificate)
                        for handler in (RegistryApi, Tokens, Blobs)]
        ports = [server.server_port for server in self.servers]
        self.host = f"127.0.0.1:{ports[0]}"
        self.url = f"https://{self.host}"
        self.token_url, self.blob_url = (f"https://localhost:{port}" for port in ports[1:])

    def is_private(self, name):
        return name not in self.repos or self.repos[name].private

    @staticmethod
    def token(name, knows_user):
        return sha256(f"{name} {knows_user}".encode())

    def accepted(self, name, repo):
        if self.scheme == "Basic":
            return [f"Basic {basic()}"]
        accepted = [f"Bearer {self.token(name, True)}"]
        return accepted if self.is_private(name) else accepted + [f"Bearer {self.token(name, False)}"]

    def stop(self):
        for server in self.servers:
            server.stop()


class Files(Handler):
    """What lies at a path; a string is where it leads."""
    name = "files"

    def answer(self, path, quoted, query):
        found = self.hub.files.get(path)
        if found is None:
            raise Refusal(404, "", "not found")
        if isinstance(found, str):
            return self.reply(302, Location=found)
        return self.reply_bytes(found)


class Site(Conversation):
    """A gateway of IPFS, mirrors: FILES by path."""

    def __init__(self, certificate):
        super().__init__()
        self.files = {}
        self.servers = [Server(type("TheFiles", (Files,), {"hub": self}), certificate)]
        self.url = f"https://127.0.0.1:{self.servers[0].server_port}"

    def stop(self):
        self.servers[0].stop()
