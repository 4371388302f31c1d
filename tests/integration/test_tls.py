# SPDX-License-Identifier: Apache-2.0
"""https, HTTP/2, and the headers that a source wants."""

import os

import pytest

from harness import reader
from harness.config import Source
from harness.mount import MountFailed

FETCH = {"read-deadline": "5s", "connect-timeout": "2s", "stall-timeout": "2s"}
TOKEN = "Bearer open-sesame-42"


@pytest.fixture
def headers(folder):
    path = os.path.join(folder, "headers")
    with open(path, "w") as file:
        file.write(f"Authorization: {TOKEN}\n")
    os.chmod(path, 0o600)
    return path


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_https_with_its_authority(medium, nginx, certificate, mount, http2):
    server = nginx(certificate=certificate, http2=http2)
    mounted = mount(Source("tls", server.url, ca_file=certificate.ca))
    assert reader.whole(mounted.object(medium.attested)) == \
        {"sha256": medium.sha256, "size": medium.size}
    assert server.body_bytes(medium.blob_uri("attested")) == medium.size
    # Also where HTTP/2 is offered: all transfers would share one connection, and its rate.
    assert {r["protocol"] for r in server.requests(probes=True)} == {"HTTP/1.1"}


def test_several_connections_each_used_again(medium, nginx, certificate, mount):
    # Slow enough for requests to be under way side by side.
    server = nginx(certificate=certificate, http2=True, rate="8m")
    mounted = mount(Source("tls", server.url, ca_file=certificate.ca))
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    requests = server.requests()
    connections = {r["connection"] for r in requests}
    assert 2 <= len(connections) <= 16
    assert len(requests) > len(connections)


def test_https_of_an_unknown_authority(small, nginx, certificate, mount):
    server = nginx(certificate=certificate)
    mounted = mount(Source("tls", server.url), fetch=FETCH)
    assert reader.whole(mounted.object(small.attested), timeout=30)["errno"] == "EIO"
    assert not server.requests(probes=True)


def test_https_with_a_certificate_for_another_host(small, nginx, certificate, mount):
    server = nginx(certificate=certificate)
    other = server.url.replace("127.0.0.1", "127.0.0.2")
    server.extra = f"listen 127.0.0.2:{server.port} ssl;"
    server.stop()
    server.start()
    mounted = mount(Source("tls", other, ca_file=certificate.ca), fetch=FETCH)
    assert reader.whole(mounted.object(small.attested), timeout=30)["errno"] == "EIO"
    assert not server.requests(probes=True)


def guarded(nginx):
    return nginx(extra=f'if ($http_authorization != "{TOKEN}") {{ return 403; }}')


def test_a_token_from_the_header_file(medium, nginx, mount, headers):
    server = guarded(nginx)
    without = mount(Source("lab", server.url), fetch=FETCH)
    assert reader.whole(without.object(medium.attested), timeout=30)["errno"] == "EIO"
    server.mark()
    with_token = mount(Source("lab", server.url, header_file=headers))
    assert reader.whole(with_token.object(medium.attested))["sha256"] == medium.sha256
    assert {r["authorization"] for r in server.requests(probes=True)} == {TOKEN}
    assert TOKEN not in with_token.log() and TOKEN not in without.log()


def test_the_token_does_not_cross_a_redirect_to_another_host(small, nginx, mount, headers):
    elsewhere = nginx()
    target = elsewhere.url.replace("127.0.0.1", "localhost")
    hub = nginx(extra=f'if ($http_authorization != "{TOKEN}") {{ return 403; }}\n'
                      f"return 302 {target}$request_uri;")
    mounted = mount(Source("hub", hub.url, header_file=headers))
    assert reader.whole(mounted.object(small.attested)) == \
        {"sha256": small.sha256, "size": small.size}
    assert {r["authorization"] for r in hub.requests(probes=True)} == {TOKEN}
    got = elsewhere.requests(probes=True)
    assert got and {r["authorization"] for r in got} == {""}


def test_a_missing_header_file_is_said_at_start(server, mount, folder):
    mounted = mount(Source("lab", server.url, header_file=f"{folder}/none"), start=False)
    with pytest.raises(MountFailed, match="none"):
        mounted.start()
    assert mounted.child.returncode == 1
    mounted.child = None


def test_plain_http_must_be_allowed(server, mount):
    source = Source("lab", server.url)
    del source.keys["allow-http"]
    mounted = mount(source, start=False)
    with pytest.raises(MountFailed, match=r"weightfs\.conf:\d+"):
        mounted.start()
    mounted.child = None
