# SPDX-License-Identifier: Apache-2.0
"""Models as other programs keep them on the disk."""

import hashlib
import json
import os


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def hub(folder, repository, revision, files, large=(), refs=("main",)):
    """
    As huggingface_hub keeps a model: FILES by their names, those in LARGE as LFS has them. A snapshot of another revision
    may be there. The paths of the blobs, by the names.
    """
    base = os.path.join(folder, "models--" + repository.replace("/", "--"))
    blobs = {}
    for name, data in files.items():
        blob = sha256(data) if name in large else git_blob(data)
        blobs[name] = os.path.join(base, "blobs", blob)
        write(blobs[name], data)
        link = os.path.join(base, "snapshots", revision, name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(os.path.relpath(blobs[name], os.path.dirname(link)), link)
    for ref in refs:
        write(os.path.join(base, "refs", ref), revision.encode())
    return blobs


def ollama(folder, name, tag, layers):
    """
    As Ollama keeps a model in its models/: LAYERS, media types and bytes. The SHA-256 of the manifest, and the
    paths of the blobs.
    """
    paths = []

    def blob(media, data):
        path = os.path.join(folder, "blobs", "sha256-" + sha256(data))
        write(path, data)
        paths.append(path)
        return {"mediaType": media, "digest": "sha256:" + sha256(data), "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": blob("application/vnd.docker.container.image.v1+json", b'{"model_format":"gguf"}'),
        "layers": [blob(media, data) for media, data in layers],
    }
    text = json.dumps(manifest).encode()
    write(os.path.join(folder, "manifests", "registry.ollama.ai", "library", name, tag), text)
    return sha256(text), paths[1:]


def read(path):
    with open(path, "rb") as file:
        return sha256(file.read())
