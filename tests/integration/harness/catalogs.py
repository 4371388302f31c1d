# SPDX-License-Identifier: Apache-2.0
"""Catalogs: written as a publisher does, and signed with stock minisign."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time

FAR_FUTURE = "2099-01-01T00:00:00Z"


def instant(seconds_from_now):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds_from_now))


def entry(model, *names, urls=None, tree=True, attested=True, **members):
    """The line of a model that Models serves, with URLs relative to a catalog that lies beside its folders."""
    line = {"sha256": model.sha256, "size": model.size}
    if attested:
        line["fsverity"] = model.fsverity
    line["urls"] = [f"f/{model.fsverity}"] if urls is None else urls
    if attested and tree:
        line["tree"] = f"f/{model.fsverity}.vtree"
    line["names"] = list(names)
    line.update(members)
    return {key: value for key, value in line.items() if value is not None and value != []}


class Key:
    """A key pair without a password."""

    def __init__(self, folder, name="key"):
        self.public, self.secret = (os.path.join(folder, f"{name}.{end}") for end in ("pub", "sec"))
        subprocess.run(["minisign", "-G", "-W", "-f", "-p", self.public, "-s", self.secret],
                       check=True, capture_output=True)
        with open(self.public) as file:
            comment, self.text = file.read().splitlines()
        self.id = comment.split()[-1].zfill(16)  # minisign drops leading zeros

    def sign(self, path, signature=None, comment=None, legacy=False):
        command = ["minisign", "-S", "-W", "-s", self.secret, "-m", path, "-x", signature or path + ".minisig"]
        command += ["-t", comment] if comment else []
        subprocess.run(command + (["-l"] if legacy else []), check=True, capture_output=True, input=b"")


class Catalog:
    """What is published as NAME.jsonl in ROOT, a folder that BASE serves; `section` is its part of weightfs.conf."""

    def __init__(self, folder, root, base="http://127.0.0.1:1", name="hub", prefix="*", key=None, **keys):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.root, self.base, self.name, self.keys = folder, root, base, name, keys
        self.key = key or Key(folder, name)
        self.prefixes = [prefix] if isinstance(prefix, str) else prefix
        self.path = os.path.join(root, f"{name}.jsonl")
        self.signature = self.path + ".minisig"
        self.published = 1_700_000_000  # the last one, as its time

    @property
    def url(self):
        return f"{self.base}/{self.name}.jsonl"

    @property
    def section(self):
        keys = {"url": self.url, "allow-private": "yes", "allow-http": "yes" if self.base.startswith("http:") else "no"}
        keys.update({key.replace("_", "-"): value for key, value in self.keys.items()})
        lines = [f"[catalog {self.name}]", f"key = {self.key.text}"] + [f"prefix = {p}" for p in self.prefixes]
        return "\n".join(lines + [f"{key} = {value}" for key, value in keys.items()])

    def text(self, entries, serial=1, expires=FAR_FUTURE, name=None):
        header = {"weightfs-catalog": 1, "name": name or self.name, "serial": serial, "expires": expires}
        return "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in [header, *entries])

    def publish(self, entries, serial=1, expires=FAR_FUTURE, key=None, name=None, legacy=False, comment=None):
        """Both files, each replaced as a whole."""
        self.publish_text(self.text(entries, serial, expires, name), key, legacy, comment)

    def publish_text(self, text, key=None, legacy=False, comment=None):
        new = os.path.join(self.folder, f"{self.name}.new")
        with open(new, "w") as file:
            file.write(text)
        (key or self.key).sign(new, legacy=legacy, comment=comment)
        # nginx makes an ETag of the length and the second.
        self.published += 1
        os.utime(new, (self.published, self.published))
        os.rename(new + ".minisig", self.signature)
        os.rename(new, self.path)

    def keep(self, store, entries, serial=1, expires=FAR_FUTURE):
        """As if it had been fetched: into a store that no daemon has."""
        path = os.path.join(self.folder, f"{self.name}.kept")
        with open(path, "w") as file:
            file.write(self.text(entries, serial, expires))
        self.keep_file(store, path, serial)

    def keep_file(self, store, path, serial=1):
        """The same, of a file that has SERIAL."""
        kept = os.path.join(store, "catalogs")
        os.makedirs(store, mode=0o700, exist_ok=True)
        os.makedirs(kept, mode=0o700, exist_ok=True)
        with open(os.path.join(store, "lock"), "a"):  # by which it is known for a store
            pass
        copy = shutil.copy(path, os.path.join(kept, f"{self.name}@{serial}.jsonl"))
        self.key.sign(copy, os.path.join(kept, f"{self.name}@{serial}.minisig"))
        with open(copy, "rb") as file:
            digest = hashlib.blake2b(file.read()).hexdigest()
        with open(os.path.join(kept, f"{self.name}.state"), "w") as file:
            json.dump({"serial": str(serial), "hash": digest, "asked": int(time.time()), "changed": int(time.time())}, file)

    def withdraw(self):
        for path in (self.path, self.signature):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
