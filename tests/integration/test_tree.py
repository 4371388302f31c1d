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
        assert file.read() == model.front


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
        assert file.read() == big.front


@pytest.fixture
def site(folder, models, medium):
    """A source of MEDIUM whose tree file a test can spoil."""
    root = os.path.join(folder, "site")
    os.makedirs(os.path.join(root, "f"))
    os.link(medium.path, os.path.join(root, "f", medium.fsverity))
    tree = os.path.join(root, "f", medium.fsverity + ".vtree")
    with open(tree, "wb") as file:
        file.write(medium.front)
    server = Nginx(os.path.join(folder, "nginx-site"), root)
    server.start()
    server.tree = tree
    yield server
    server.stop()


FETCH = {"read-deadline": "5s", "stall-timeout": "2s", "connect-timeout": "2s"}


def test_the_whole_tree_file_serves_as_well(site, medium, folder, mount):
    """`fsverity digest --out-merkle-tree` begins with the front: a Range request takes just that."""
    process.run(["fsverity", "digest", f"--out-merkle-tree={site.tree}", medium.path], check=True)
    assert os.path.getsize(site.tree) > medium.front_size
    mounted = mount(Source("site", site.url))
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    sent = site.body_bytes(f"/f/{medium.fsverity}.vtree")
    assert sent == medium.front_size


@pytest.mark.parametrize("damage", ["flip", "empty", "short", "missing", "zeros"])
def test_a_damaged_tree_releases_nothing(site, medium, mount, damage):
    front = bytearray(medium.front)
    if damage == "missing":
        os.unlink(site.tree)
    else:
        front[len(front) // 3] ^= 4
        content = {"flip": bytes(front), "empty": b"", "short": medium.front[:-1],
                   "zeros": bytes(len(front))}[damage]
        with open(site.tree, "wb") as file:
            file.write(content)
    mounted = mount(Source("site", site.url), fetch=FETCH)
    outcome = reader.whole(mounted.object(medium.attested), timeout=40)
    assert outcome["errno"] in ("EIO", "ENOENT", "ETIMEDOUT") and outcome["offset"] == 0
    assert mounted.alive()


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
