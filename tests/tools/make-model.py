#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a safetensors file of about the given size, the same one for the same seed.

The format: the header's length (8 bytes, little endian), a JSON header padded with spaces to a
multiple of 8, then the tensors' bytes without a gap (github.com/huggingface/safetensors). The data is
a stream of AES-CTR, so no two blocks of a file are alike and a misplaced one is noticed.
"""

import argparse
import hashlib
import json
import os
import struct
import subprocess
import sys

SUFFIXES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
STEP = 1 << 20


def parse_size(text):
    """`96M`, `1G`, `4096`: bytes."""
    number = text.lower().rstrip("ib")
    suffix = number[-1:] if number[-1:].isalpha() else ""
    try:
        return int(number[: len(number) - len(suffix)]) * SUFFIXES[suffix]
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"not a size: {text!r}") from None


def write_noise(out, size, seed):
    """SIZE bytes of the key stream that SEED names."""
    key = hashlib.sha256(f"weightfs test data {seed}".encode()).hexdigest()[:32]
    cipher = ["openssl", "enc", "-aes-128-ctr", "-nosalt", "-K", key, "-iv", "0" * 32,
              "-in", "/dev/zero"]
    with subprocess.Popen(cipher, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          bufsize=0) as proc:
        while size > 0:
            data = proc.stdout.read(min(STEP, size))
            if not data:
                raise RuntimeError("openssl enc ended early")
            out.write(data)
            size -= len(data)
        proc.kill()


def header(size):
    """The front of a file of about SIZE bytes, and how many bytes of tensors follow it."""
    layers = max(1, min(64, size >> 22))
    shape_unit = 2 * 64  # F16, rows of 64
    rows = max(1, (size - 512 - 160 * layers) // layers // shape_unit)
    tensors = {"__metadata__": {"format": "pt", "made_by": "make-model.py"}}
    offset = 0
    for layer in range(layers):
        end = offset + rows * shape_unit
        tensors[f"model.layers.{layer}.weight"] = {
            "dtype": "F16", "shape": [rows, 64], "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, offset


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=parse_size, default="64M", help="about so long (64M)")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--raw", action="store_true",
                        help="exactly SIZE bytes of data and no safetensors header")
    parser.add_argument("file")
    args = parser.parse_args()

    front, data = (b"", args.size) if args.raw else header(args.size)
    partial = args.file + ".part"
    with open(partial, "wb") as out:
        out.write(front)
        write_noise(out, data, args.seed)
    os.rename(partial, args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
