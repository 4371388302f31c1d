# SPDX-License-Identifier: Apache-2.0
"""Files of tensors, written and read as programs do that map them: safetensors and GGUF (version 3)."""

import json
import mmap
import os
import random
import struct

F16 = 1        # GGUF's number for it
ALIGNMENT = 32  # GGUF's, where the file names none


def write_safetensors(path, tensors, length):
    """TENSORS of LENGTH bytes each; the offset of the first."""
    header = json.dumps({f"model.layers.{i}.mlp.weight": {
        "dtype": "F16", "shape": [length // 2], "data_offsets": [i * length, (i + 1) * length]}
        for i in range(tensors)}).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.write(random.Random(7).randbytes(tensors * length))
    os.chmod(path, 0o644)
    return 8 + len(header)


def write_gguf(path, tensors, length):
    """The same."""
    names = [f"blk.{i}.ffn.weight".encode() for i in range(tensors)]
    header = b"GGUF" + struct.pack("<IQQ", 3, tensors, 1)
    header += struct.pack("<Q", 20) + b"general.architecture" + struct.pack("<IQ", 8, 5) + b"llama"
    for i, name in enumerate(names):
        header += struct.pack("<Q", len(name)) + name
        header += struct.pack("<IQIQ", 1, length // 2, F16, i * length)
    header += bytes(-len(header) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(header + random.Random(8).randbytes(tensors * length))
    os.chmod(path, 0o644)
    return len(header)


class Mapped:
    """A file of tensors, mapped: what its header says, and the bytes of each tensor, when they are asked for."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.at = 0
        self.tensors = {}  # name: (offset, length)
        if self.map[:4] == b"GGUF":
            self.parse_gguf()
        else:
            self.parse_safetensors()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.map.close()

    def tensor(self, name):
        offset, length = self.tensors[name]
        return self.map[offset:offset + length]

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.map, self.at)
        self.at += struct.calcsize("<" + layout)
        return values if len(values) > 1 else values[0]

    def take_text(self):
        length = self.take("Q")
        self.at += length
        return self.map[self.at - length:self.at].decode()

    def parse_safetensors(self):
        length = self.take("Q")
        for name, tensor in json.loads(self.map[8:8 + length]).items():
            begin, end = tensor["data_offsets"]
            self.tensors[name] = (8 + length + begin, end - begin)

    def parse_gguf(self):
        magic, version, tensors, pairs = self.take("4sIQQ")
        assert (magic, version) == (b"GGUF", 3)
        for _ in range(pairs):
            key, kind = self.take_text(), self.take("I")
            assert (key, kind, self.take_text()) == ("general.architecture", 8, "llama")
        found = {}
        for _ in range(tensors):
            name, dimensions = self.take_text(), self.take("I")
            count = 1
            for _ in range(dimensions):
                count *= self.take("Q")
            kind, offset = self.take("IQ")
            assert kind == F16
            found[name] = (offset, count * 2)
        data = -(-self.at // ALIGNMENT) * ALIGNMENT
        self.tensors = {name: (data + offset, length) for name, (offset, length) in found.items()}
