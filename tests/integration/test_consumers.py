# SPDX-License-Identifier: Apache-2.0
"""Programs that read models by their names: Hugging Face's for Node.js (the real ones: transformers.js on onnxruntime, and
what reads the hub's cache), and readers that map files of tensors.
"""

import hashlib
import json
import os
import shutil
import subprocess

import pytest

from harness import process
from harness.onnxmodel import OnnxModel
from harness.paths import CHUNK, MIB, TOP
from harness.tensorfiles import Mapped, write_gguf, write_safetensors

CONSUMERS = os.path.join(TOP, "tests", "integration", "consumers")
TEXT = "verified bytes are the same for all"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def packages(base):
    """A folder in which they are installed."""
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout \
        if shutil.which("node") and shutil.which("npm") else ""
    if not version or int(version[1:].split(".")[0]) < 20:
        pytest.skip("Node.js 20 and npm are needed")
    folder = os.path.join(base, "consumers")
    shutil.copytree(CONSUMERS, folder)
    # Its install scripts ask other hosts for what runs on graphics cards.
    process.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"],
                cwd=folder, check=True, timeout=240)
    return folder


def features(packages, folder, model):
    """What transformers.js says of TEXT."""
    done = process.run(["node", os.path.join(packages, "transformers.mjs"), folder + "/", model, TEXT],
                       check=True, timeout=120)
    return json.loads(done.stdout)


def assert_alike(got, wanted):
    assert len(got) == len(wanted)
    assert max(abs(a - b) for a, b in zip(got, wanted)) < 1e-6


def test_transformers_js(packages, library):
    made = []
    mounted = library(lambda folder: made.append(OnnxModel(os.path.join(folder, "acme", "tiny"))))
    wanted = made[0].features(TEXT)
    # By the name of its model, below localModelPath ...
    assert_alike(features(packages, mounted.path("name", "lab"), "acme/tiny"), wanted)
    # ... and by a path, as one with a revision ("acme/tiny@rev") has to be named.
    assert_alike(features(packages, "/nonexistent", mounted.path("name", "lab", "acme", "tiny")),
                 wanted)


def test_the_cache_of_the_hub(packages, library):
    """What @huggingface/hub finds in HF_HUB_CACHE=MOUNT/hub."""
    files = {f"Qwen/Qwen3-0.6B@{COMMIT}/config.json": b"{}", f"Qwen/Qwen3-0.6B@{COMMIT}/model.safetensors": b"weights",
             "org/tagged@v1.0/x": b"x"}

    def fill(folder):
        for name, data in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)

    mounted = library(fill)
    done = process.run(["node", os.path.join(packages, "hub.mjs"), mounted.path("hub"), "Qwen/Qwen3-0.6B", COMMIT,
                        "config.json"], check=True)
    found = json.loads(done.stdout)
    assert found["warnings"] == []
    made_up = hashlib.sha256(f"x\0{hashlib.sha256(b'x').hexdigest()}\0".encode()).hexdigest()[:40]
    assert found["repos"] == {
        "Qwen/Qwen3-0.6B": {COMMIT: {"refs": ["main"], "files": ["config.json", "model.safetensors"]}},
        "org/tagged": {made_up: {"refs": ["main", "v1.0"], "files": ["x"]}}}
    with open(found["file"], "rb") as file:
        assert file.read() == b"{}"


@pytest.mark.parametrize("write", [write_safetensors, write_gguf])
def test_tensors_of_a_mapped_file(library, write):
    """Header and a tensor come when they are touched, and little else does."""
    length, tensors = 2 * MIB, 24

    def fill(folder):
        os.makedirs(os.path.join(folder, "acme", "weights"))
        write(os.path.join(folder, "acme", "weights", "model"), tensors, length)

    mounted = library(fill)
    path = mounted.path("name", "lab", "acme", "weights", "model")
    original = os.path.join(mounted.library, "acme", "weights", "model")
    with Mapped(path) as seen, Mapped(original) as wanted:
        assert seen.tensors == wanted.tensors and len(seen.tensors) == tensors
        for name in list(wanted.tensors)[tensors // 2:tensors // 2 + 2]:
            assert seen.tensor(name) == wanted.tensor(name)
        present = int(os.getxattr(path, "user.weightfs.present"))
        assert CHUNK <= present <= os.path.getsize(original) / 2
        assert all(seen.tensor(name) == wanted.tensor(name) for name in wanted.tensors)
