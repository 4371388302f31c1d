# SPDX-License-Identifier: Apache-2.0
"""What look-ups leave in the store when nothing else follows: it goes, and who opens later notices nothing."""

import hashlib
import json
import os
import threading

import pytest

from conftest import ALICE
from harness import cli, imports as imported, process
from harness.config import Source
from harness.poll import wait_until

POLICY = "caller any is local\nallow local to any with list\n"
IMPORTS = "[import]\nallow-http = yes\nallow-private = yes"
NOWHERE = "http://127.0.0.1:9/"
MOST = 16384  # STORE_BARE_MAX

STAT = """
import os, sys
for name in range(int(sys.argv[2]), int(sys.argv[3])):
    os.stat(f"{sys.argv[1]}/f{name}")
"""

READ = """
import hashlib, os, sys
for name in range(int(sys.argv[2]), int(sys.argv[3])):
    with open(f"{sys.argv[1]}/f{name}", "rb") as file:
        assert file.read() == b"number %d" % name
"""


@pytest.fixture
def imports(mount):
    mounted = mount(IMPORTS, policy=POLICY)
    os.chmod(mounted.store, 0o711)
    return mounted


def invented(tag, count):
    return [(hashlib.sha256(f"{tag} {i}".encode()).hexdigest(), 5, NOWHERE) for i in range(count)]


def give(mounted, files):
    lines = [{"sha256": digest, "size": size, "names": [f"org/x@1/f{i}"], "urls": [url]}
             for i, (digest, size, url) in enumerate(files)]
    assert imported.give(mounted, ALICE, imported.text_of(*lines))["new"] == len(files)


def go_through(mounted, script, begin, end):
    result = process.run(["/usr/bin/python3", "-c", script, mounted.path("name", "hf", "org", "x@1"),
                          str(begin), str(end)], uid=ALICE)
    assert result.returncode == 0, result.stderr


def take_back(mounted):
    assert cli.weightfs("imports", "--store", mounted.store, "--remove", "hf", uid=ALICE).returncode == 0


def forget(mounted):
    """How many records gc forgot."""
    return json.loads(cli.ok("gc", "--json", "--store", mounted.store))["forgotten"]


def test_gc_forgets_what_was_only_looked_up(imports):
    for tag in ("a", "b"):
        give(imports, invented(tag, 200))
        go_through(imports, STAT, 0, 200)
        take_back(imports)
    assert len(cli.listed(imports.store)) == 400
    forgotten = []
    wait_until(lambda: forgotten.append(forget(imports)) or not cli.listed(imports.store), "all are forgotten")
    assert sum(forgotten) == 400
    assert "forgotten" not in cli.ok("gc", "--store", imports.store)
    imports.stop()
    assert not cli.listed(imports.store), "they do not come back"
    imports.start()


def test_without_a_daemon_too(imports):
    give(imports, invented("a", 20))
    go_through(imports, STAT, 0, 20)
    imports.stop()
    assert "20 records forgotten" in cli.ok("gc", "--store", imports.store)
    assert not cli.listed(imports.store)
    imports.start()


def test_there_are_never_too_many(imports):
    give(imports, invented("a", MOST + 2000))
    go_through(imports, STAT, 0, MOST + 1999)
    go_through(imports, STAT, 0, 1)

    # The next one that somebody looks up after a while has the others go.
    def few():
        go_through(imports, STAT, MOST + 1999, MOST + 2000)
        return len(cli.listed(imports.store)) <= MOST

    wait_until(few, "too many records go", interval=0.5)


def test_opens_do_not_notice(models, nginx, mount):
    """The kernel knows nodes whose records are forgotten, again and again: each path opens all the same."""
    count = 100
    os.makedirs(os.path.join(models.root, "numbers"), exist_ok=True)
    files = []
    server = nginx()
    for i in range(count):
        text = b"number %d" % i
        with open(os.path.join(models.root, "numbers", str(i)), "wb") as file:
            file.write(text)
        files.append((hashlib.sha256(text).hexdigest(), len(text), f"{server.url}/numbers/{i}"))
    mounted = mount(Source("lab", server.url, "sha256"), IMPORTS, policy=POLICY)
    os.chmod(mounted.store, 0o711)
    give(mounted, files)
    go_through(mounted, STAT, 0, count)
    wait_until(lambda: forget(mounted) == 0 and not cli.listed(mounted.store), "all are forgotten")

    over = threading.Event()

    def collect():
        while not over.is_set():
            forget(mounted)

    collectors = [threading.Thread(target=collect) for _ in range(2)]
    for collector in collectors:
        collector.start()
    try:
        for begin in range(0, count, 20):
            go_through(mounted, STAT, begin, count)
            go_through(mounted, READ, 0, begin + 20)
    finally:
        over.set()
        for collector in collectors:
            collector.join()
    assert sum(record["state"] == "complete" for record in cli.listed(mounted.store)) == count
