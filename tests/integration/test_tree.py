# SPDX-License-Identifier: Apache-2.0
"""`weightfs tree` against fsverity-utils, and a tree as a source serves it."""

import hashlib
import os
import shutil

import pytest

from harness import cli, process, reader
from harness.config import Source
from harness.nginx import Nginx
from harness.paths import BLOCK, CHUNK, KIB, MIB


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17,
                                  64 * MIB, 64 * MIB + 1, 100 * MIB + 5])
def test_tree_equals_fsverity(models, folder, size):
    model = models.blob(size, "tree")
    path = os.path.join(folder, "model")
    os.link(model.path, path)
    printed = cli.ok("tree", path).split()
    assert printed == [f"sha256-{model.sha256}", f"fsverity-{model.fsverity}", path]
    with open(path + ".vtree", "rb") as file:
        assert file.read() == model.tree_file


def test_tree_of_several_files_and_a_missing_one(models, folder):
    paths = []
    for number in (1, 2):
        paths.append(os.path.join(folder, f"model{number}"))
        os.link(models.blob(MIB + number, "tree").path, paths[-1])
    assert len(cli.ok("tree", *paths).splitlines()) == 2
    result = cli.weightfs("tree", paths[0], folder + "/missing", paths[1])
    assert result.returncode == 1 and "missing" in result.stderr
    assert cli.weightfs("tree").returncode == 2


def test_tree_of_the_large_model(big, folder):
    path = os.path.join(folder, "model")
    os.link(big.path, path)
    assert f"fsverity-{big.fsverity}" in cli.ok("tree", path)
    with open(path + ".vtree", "rb") as file:
        assert file.read() == big.tree_file


@pytest.fixture
def site(folder, models, medium):
    """A source of MEDIUM whose tree file a test can spoil."""
    root = os.path.join(folder, "site")
    os.makedirs(os.path.join(root, "f"))
    os.link(medium.path, os.path.join(root, "f", medium.fsverity))
    tree = os.path.join(root, "f", medium.fsverity + ".vtree")
    with open(tree, "wb") as file:
        file.write(medium.tree_file)
    server = Nginx(os.path.join(folder, "nginx-site"), root)
    server.start()
    server.tree = tree
    yield server
    server.stop()


FETCH = {"read-deadline": "5s", "stall-timeout": "2s", "connect-timeout": "2s"}


def asked(server):
    """What was asked for, as (URI's end, bytes of the body)."""
    return [("tree" if request["uri"].endswith(".vtree") else "object", request["body"])
            for request in server.requests(probes=True)]


def test_a_stat_asks_for_the_tree_file_alone(site, medium, mount):
    """And a first read, then, for the chunk."""
    path = mount(Source("site", site.url)).object(medium.attested)
    assert os.stat(path).st_size == medium.size
    assert asked(site) == [("tree", len(medium.tree_file))]
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), BLOCK, 20 * MIB) == medium.read(20 * MIB, BLOCK)
    assert asked(site) == [("tree", len(medium.tree_file)), ("object", CHUNK)]


@pytest.mark.parametrize("size", [0, 1, BLOCK, CHUNK - 1, CHUNK, CHUNK + 1])
def test_small_objects_and_their_tree_files(models, server, mount, size):
    model = models.blob(size, "tree file")
    path = mount(server).object(model.attested)
    assert os.stat(path).st_size == size
    fetched = {0: []}.get(size, [("object", size)]) if size <= CHUNK else []
    assert asked(server) == [("tree", len(model.tree_file))] + fetched
    assert reader.whole(path)["sha256"] == model.sha256


@pytest.mark.parametrize("whole", [False, True])
def test_a_bare_tree_serves_as_well(site, medium, mount, whole):
    """Its front, or all that `fsverity digest --out-merkle-tree` writes: the size is asked for, then."""
    if whole:
        process.run(["fsverity", "digest", f"--out-merkle-tree={site.tree}", medium.path], check=True)
    else:
        with open(site.tree, "wb") as file:
            file.write(medium.front)
    bytes_there = os.path.getsize(site.tree)
    path = mount(Source("site", site.url)).object(medium.attested)
    assert os.stat(path).st_size == medium.size
    assert asked(site) == [("tree", min(bytes_there, 1 * MIB + 256)), ("object", 1)]
    assert reader.whole(path)["sha256"] == medium.sha256


@pytest.mark.parametrize("damage", ["flip", "empty", "short", "missing", "zeros", "bare", "bare flip",
                                    "descriptor only", "other descriptor", "no front block"])
def test_a_damaged_tree_releases_nothing(site, medium, small, mount, damage):
    front = bytearray(medium.front)
    front[len(front) // 3] ^= 4
    content = {"flip": bytes(front) + medium.descriptor, "empty": b"", "short": medium.front[:-1],
               "zeros": bytes(len(front)), "bare flip": bytes(front),
               "bare": medium.front[:-BLOCK], "descriptor only": medium.descriptor,
               "other descriptor": bytes(front) + small.descriptor,
               "no front block": medium.front[:-BLOCK] + medium.descriptor}
    if damage == "missing":
        os.unlink(site.tree)
    else:
        with open(site.tree, "wb") as file:
            file.write(content[damage])
    mounted = mount(Source("site", site.url), fetch=FETCH)
    outcome = reader.whole(mounted.object(medium.attested), timeout=40)
    assert outcome["errno"] in ("EIO", "ENOENT", "ETIMEDOUT") and outcome["offset"] == 0
    assert mounted.alive()


def test_a_descriptor_that_is_wrong_is_as_good_as_none(site, medium, mount):
    """The size is asked for, and the front proves it."""
    descriptor = bytearray(medium.descriptor)
    descriptor[9] ^= 1
    with open(site.tree, "wb") as file:
        file.write(medium.front + descriptor)
    path = mount(Source("site", site.url)).object(medium.attested)
    assert reader.whole(path)["sha256"] == medium.sha256


@pytest.mark.parametrize("damage", ["first byte", "last byte", "inside", "shorter", "longer"])
def test_a_damaged_file_releases_no_wrong_byte(site, medium, mount, damage):
    path = os.path.join(os.path.dirname(site.tree), medium.fsverity)
    shutil.copy(medium.path, path + ".new")
    with open(path + ".new", "r+b") as file:
        if damage == "shorter":
            file.truncate(medium.size - 1)
        elif damage == "longer":
            file.seek(0, os.SEEK_END)
            file.write(b"x")
        else:
            at = {"first byte": 0, "last byte": medium.size - 1, "inside": 20 * MIB + 333}[damage]
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))
    os.rename(path + ".new", path)
    mounted = mount(Source("site", site.url), fetch=FETCH)
    outcome = reader.whole(mounted.object(medium.attested), timeout=60)
    assert outcome["errno"] in ("EIO", "ETIMEDOUT")
    assert outcome["offset"] <= medium.size // CHUNK * CHUNK
    assert outcome["sha256_so_far"] == \
        hashlib.sha256(medium.read(0, outcome["offset"])).hexdigest()
    if damage == "inside":  # the other chunks are good
        assert reader.part(mounted.object(medium.attested), 30 * MIB, 64 * KIB)["size"] == 64 * KIB
