# SPDX-License-Identifier: Apache-2.0
"""Objects to serve, their digests by independent tools, and the folders of a source."""

import hashlib
import os
import shutil
import subprocess

from .paths import BLOCK, CHUNK, PYTHON, TOOLS


def front_size(size):
    """Bytes of the Merkle tree above level 1."""
    hashes_a_block = BLOCK // 32
    blocks = -(-size // BLOCK)
    if blocks <= 1:
        return 0
    blocks = -(-blocks // hashes_a_block)  # level 1, which the front leaves out
    front = 0
    while blocks > 1:
        blocks = -(-blocks // hashes_a_block)
        front += blocks
    return front * BLOCK


class Model:
    """A file and what is known of it. The digests come from openssl and fsverity-utils."""

    def __init__(self, path):
        self.path = path
        self.size = os.stat(path).st_size
        run = lambda *args: subprocess.run(args, check=True, capture_output=True, text=True).stdout
        self.sha256 = run("openssl", "dgst", "-sha256", "-r", path).split()[0]
        full_tree, descriptor = path + ".tree", path + ".descriptor"
        self.fsverity = run("fsverity", "digest", "--compact", f"--out-merkle-tree={full_tree}",
                            f"--out-descriptor={descriptor}", path).strip()
        self.front_size = front_size(self.size)
        with open(full_tree, "rb") as tree:
            self.front = tree.read(self.front_size)
        with open(descriptor, "rb") as file:
            self.descriptor = file.read()
        os.unlink(full_tree)
        os.unlink(descriptor)
        assert len(self.front) == self.front_size

    @property
    def tree_file(self):
        """What `weightfs tree` writes."""
        return self.front + self.descriptor

    @property
    def attested(self):
        return f"fsverity-{self.fsverity}"

    @property
    def unattested(self):
        return self.sha256

    def name(self, kind):
        return {"attested": self.attested, "unattested": self.unattested}[kind]

    def read(self, offset=0, length=None):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def blob_uri(self, kind):
        return f"/f/{self.fsverity}" if kind == "attested" else f"/s/{self.sha256}"


class Models:
    """Makes each model once and serves all of them from one folder:

    s/<sha256>, f/<fs-verity digest>, and f/<fs-verity digest>.vtree, the tree file.
    """

    def __init__(self, folder):
        self.folder = folder
        self.root = os.path.join(folder, "www")
        self.made = {}
        for name in ("s", "f"):
            os.makedirs(os.path.join(self.root, name))

    def make(self, size, seed="0", raw=False):
        key = (size, str(seed), raw)
        if key not in self.made:
            path = os.path.join(self.folder, f"{'raw' if raw else 'model'}-{size}-{seed}")
            make = [PYTHON, os.path.join(TOOLS, "make-model.py"), "--size", str(size),
                    "--seed", str(seed), path]
            subprocess.run(make + (["--raw"] if raw else []), check=True)
            os.chmod(path, 0o644)
            self.made[key] = self.publish(Model(path))
        return self.made[key]

    def blob(self, size, seed="0"):
        """Exactly SIZE bytes, of no format."""
        return self.make(size, seed, raw=True)

    def publish(self, model):
        sha256 = os.path.join(self.root, "s", model.sha256)
        if os.path.exists(sha256):  # the same bytes by another seed: all empty files are alike
            return model
        os.link(model.path, sha256)
        fsverity = os.path.join(self.root, "f", model.fsverity)
        os.link(model.path, fsverity)
        with open(fsverity + ".vtree", "wb") as file:
            file.write(model.tree_file)
        return model

    def unpublish(self, model):
        for path in (f"s/{model.sha256}", f"f/{model.fsverity}", f"f/{model.fsverity}.vtree"):
            os.unlink(os.path.join(self.root, path))
        self.made = {key: other for key, other in self.made.items() if other is not model}

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def unknown_digest(seed="nobody has this"):
    return hashlib.sha256(seed.encode()).hexdigest()


def chunks(size):
    return -(-size // CHUNK)
