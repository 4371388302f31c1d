# SPDX-License-Identifier: Apache-2.0
"""Configuration files."""

from .nginx import Nginx


class Source:
    """A [source NAME] section. BASE is where a folder made by Models is served; BY says by which digest
    it is asked; TREE_BASE serves the fronts of trees from elsewhere.
    """

    def __init__(self, name, base, by="fsverity", tree_base=None, **keys):
        self.name, self.keys = name, {}
        folder = {"fsverity": "f", "sha256": "s"}[by]
        self.keys["url"] = f"{base}/{folder}/{{{by}}}"
        if by == "fsverity":
            self.keys["tree"] = f"{tree_base or base}/f/{{fsverity}}.vtree"
        self.keys["allow-private"] = "yes"
        if base.startswith("http:"):
            self.keys["allow-http"] = "yes"
        self.keys.update({key.replace("_", "-"): value for key, value in keys.items()})

    def __str__(self):
        return "\n".join([f"[source {self.name}]"] +
                         [f"{key} = {value}" for key, value in self.keys.items()])


def sources_of(server, prefix="", name="lab", **keys):
    """SERVER asked by either digest. PREFIX: a folder before the usual ones ("/flip")."""
    base = server.url + prefix if isinstance(server, Nginx) or hasattr(server, "url") else server
    return [Source(name, base, "fsverity", **keys),
            Source(name + "-sha256", base, "sha256", **keys)]


def write(path, sources, store=None, fetch=()):
    """A weightfs.conf; FETCH: a dict of the [fetch] section's keys."""
    sections = []
    if store:
        sections.append("[store]\n" + "\n".join(f"{k} = {v}" for k, v in store.items()))
    if fetch:
        sections.append("[fetch]\n" + "\n".join(
            f"{key.replace('_', '-')} = {value}" for key, value in fetch.items()))
    sections += map(str, sources)
    with open(path, "w") as file:
        file.write("\n\n".join(sections) + "\n")
    return path
