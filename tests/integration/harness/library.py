# SPDX-License-Identifier: Apache-2.0
"""A folder of models as its publisher has it, made into a site by `weightfs publish`, and machines that read from it."""

import glob
import json
import os

from . import cli
from .catalogs import Catalog
from .paths import SOON
from .poll import wait_until


class Library(Catalog):
    """What is in `models`, published at SERVER's root as the catalog NAME. The key is of stock minisign."""

    def __init__(self, folder, root, server, name="lab", **kwargs):
        super().__init__(os.path.join(folder, "publisher"), root, server.url, name, **kwargs)
        self.server = server
        self.models = os.path.join(self.folder, "models")
        os.mkdir(self.models)

    def release(self, *more):
        """`weightfs publish`; what it says of it."""
        return json.loads(cli.ok("publish", self.models, "--url", self.base, "--key", self.key.secret, "--name",
                                 self.name, "-o", self.root, "--json", *more))

    @property
    def files(self):
        """The names of all files, as the publisher has them."""
        return sorted(os.path.relpath(path, self.models)
                      for path in glob.glob(self.models + "/**", recursive=True) if os.path.isfile(path))

    def original(self, name):
        return os.path.join(self.models, name)

    def lines(self):
        """The header, and the objects, by Python's JSON."""
        with open(self.path, encoding="utf-8") as file:
            header, *objects = map(json.loads, file)
        return header, objects

    def line(self, name):
        return next(line for line in self.lines()[1] if name in line["names"])

    def served(self, name, tree=False):
        """The file in the site that has the bytes of NAME, or its tree."""
        line = self.line(name)
        return os.path.join(self.root, (line["tree"] if tree else line["urls"][0]).removeprefix(self.base + "/"))

    def uri(self, name, tree=False):
        return "/" + os.path.relpath(self.served(name, tree), self.root)

    def site(self):
        """The catalog and its signature, as they are served."""
        return [open_and_read(path) for path in (self.path, self.signature)]

    def put(self, site):
        for path, data in zip((self.path, self.signature), site):
            with open(path, "wb") as file:
                file.write(data)


def open_and_read(path):
    with open(path, "rb") as file:
        return file.read()


def wait_until_named(mounted, name="lab"):
    """The catalog is fetched by itself, after the mount."""
    wait_until(lambda: os.path.isdir(mounted.path("name", name)), f"names of {name} are there", SOON)
