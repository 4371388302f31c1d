# SPDX-License-Identifier: Apache-2.0
"""From a publisher's folder to a reader's machine: names, and by them the right bytes; and what was tampered with on the way."""

import base64
import hashlib
import os
import random

import pytest

from conftest import ALICE, BOB
from harness import cli, process, reader
from harness.catalogs import Key, instant
from harness.files import read, write
from harness.library import wait_until_named
from harness.models import front_size
from harness.paths import BLOCK, CHUNK, MIB
from harness.poll import wait_until
from harness.views import view

# Ten models' weights; the last has a tree of more than the root, and room between the chunks that are read.
SIZES = [0, 1, BLOCK, BLOCK + 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17, MIB, 2 * MIB + 5, 24 * MIB]
LARGE = "org0/model9/model.safetensors"


def fill(folder):
    for number, size in enumerate(SIZES):
        model = os.path.join(folder, f"org{number % 3}", f"model{number}")
        write(model + "/model.safetensors", random.Random(number).randbytes(size))
        write(model + "/config.json", b'{"model": %d}' % number)


def sha256(path, uid=None):
    """By openssl, of a file that UID reads."""
    return process.run(["openssl", "dgst", "-sha256", "-r", path], uid=uid, check=True).stdout.split()[0]


def fsverity(path):
    return process.run(["fsverity", "digest", "--compact", path], check=True).stdout.strip()


def named(mounted, name, *below):
    return os.path.join(mounted.path("name", "lab"), name, *below)


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder)
                  for at, _, names in os.walk(folder) for name in names)


@pytest.fixture
def ten(published):
    source = published()
    fill(source.models)
    source.release()
    return source


# ---- reading ---------------------------------------------------------------------------------------

def test_every_file_by_its_name(ten, mount):
    mounted = mount(ten.section)
    wait_until_named(mounted)
    assert files_below(mounted.path("name/lab")) == ten.files and len(ten.files) == 20
    for name in ten.files:
        path, line = named(mounted, name), ten.line(name)
        assert os.stat(path).st_size == os.path.getsize(ten.original(name)) == line["size"]
        assert sha256(path) == sha256(ten.original(name)) == line["sha256"]
        assert fsverity(path) == fsverity(ten.original(name)) == line["fsverity"]
        measured = process.run(["fsverity", "measure", path], check=True).stdout.split()[0]
        assert measured == f"sha256:{line['fsverity']}"
    # What it keeps is what was published, and signed by the one whose public key it has.
    serial = ten.lines()[0]["serial"]
    kept = os.path.join(mounted.store, "catalogs", f"lab@{serial}")
    assert read(kept + ".jsonl") == read(ten.path) and read(kept + ".minisig") == read(ten.signature)
    said = process.run(["minisign", "-V", "-Q", "-P", ten.key.text, "-m", kept + ".jsonl", "-x", kept + ".minisig"],
                       check=True).stdout
    assert said.startswith(f"catalog lab serial {serial} expires ")
    assert not os.path.exists(os.path.join(mounted.folder, "publisher"))


def test_only_what_is_read_comes(ten, mount):
    mounted = mount(ten.section)
    wait_until_named(mounted)
    ten.server.mark()
    large, original = named(mounted, LARGE), read(ten.original(LARGE))
    assert files_below(mounted.path("name/lab")) == ten.files
    assert [os.stat(named(mounted, name)).st_size for name in ten.files] == \
        [os.path.getsize(ten.original(name)) for name in ten.files]
    assert ten.server.requests(probes=True) == []
    for at in (0, 20 * CHUNK + 7):
        assert reader.part(large, at, 1000)["sha256"] == hashlib.sha256(original[at:at + 1000]).hexdigest()
    uri, front = ten.uri(LARGE), front_size(len(original))
    assert front > 0
    assert [(one["uri"], one["range"], one["body"]) for one in ten.server.requests(probes=True)] == \
        [(ten.uri(LARGE, tree=True), f"bytes=0-{front - 1}", front), (uri, f"bytes=0-{CHUNK - 1}", CHUNK),
         (uri, f"bytes={20 * CHUNK}-{21 * CHUNK - 1}", CHUNK)]
    assert int(os.getxattr(large, "user.weightfs.present")) == 2 * CHUNK


def test_a_second_origin_reads_without_the_server(ten, mount):
    """What one fetched is there for others: users' own, and of a web origin what is shared."""
    app, path = "https://app.example.com", ("name", "lab", LARGE)
    mounted = mount(ten.section, fetch={"read_deadline": "1s"}, policy=f"""
caller uid {ALICE} is alice
caller uid {BOB} is bob
broker uid {ALICE}
set lab name lab:org0/* shared
allow alice to any
allow bob to lab
allow {app} to lab
""")
    os.chmod(mounted.store, 0o711)
    wait_until(lambda: reader.whole(named(mounted, LARGE), uid=ALICE).get("sha256") == sha256(ten.original(LARGE)),
               "alice has read it")
    wait_until(lambda: cli.listed(mounted.store)[0]["state"] == "complete", "it is kept")
    ten.server.stop()
    assert sha256(named(mounted, LARGE), BOB) == sha256(ten.original(LARGE))
    assert sha256(view(mounted, app, ALICE, *path), ALICE) == sha256(ten.original(LARGE))
    # That is no hole: another name is not there for bob, and what is not here cannot be had.
    assert process.run(["cat", named(mounted, "org1/model1/config.json")], uid=BOB).returncode != 0
    assert reader.whole(named(mounted, "org0/model0/config.json"), uid=BOB)["errno"] == "ETIMEDOUT"


# ---- tampering -------------------------------------------------------------------------------------

GOOD, EVIL = "org0/good/model.bin", "org1/evil/model.bin"


def flip(path, at):
    data = bytearray(read(path))
    data[at] ^= 1
    write(path, data)


def flip_signature(source, at):
    """A bit of what is in the second line, or the fourth, of the signature."""
    lines = read(source.signature).split(b"\n")
    number, at = divmod(at, 1000)
    raw = bytearray(base64.b64decode(lines[number]))
    raw[at] ^= 1
    lines[number] = base64.b64encode(raw)
    write(source.signature, b"\n".join(lines))


def replace(path, old, new):
    assert read(path).count(old) >= 1
    write(path, read(path).replace(old, new, 1))


def sign_again(source, change, **header):
    """The publisher's own doing: CHANGE(line of what is EVIL), signed with the right key."""
    _, lines = source.lines()
    line = next(line for line in lines if EVIL in line["names"])
    change(line)
    source.publish(lines, **{"serial": source.lines()[0]["serial"], **header})


def named_as(name):
    return lambda source: sign_again(source, lambda line: line.update(names=[name]))


def by_a_stranger(source):
    stranger = Key(source.folder, "stranger")
    source.publish(source.lines()[1], serial=source.lines()[0]["serial"], key=stranger)


def under_our_id(source):
    """A stranger's signature that says that it is ours."""
    ours = base64.b64decode(read(source.signature).split(b"\n")[1])[2:10]
    by_a_stranger(source)
    lines = read(source.signature).split(b"\n")
    raw = base64.b64decode(lines[1])
    write(source.signature, b"\n".join([lines[0], base64.b64encode(raw[:2] + ours + raw[10:]), *lines[2:]]))


# What is done to what is served, and a part of what is said.
TAMPERED = {
    "line": (lambda source: replace(source.path, b"evil", b"Evil"), "signature"),
    "a line more": (lambda source: write(source.path, read(source.path) + read(source.path).splitlines(True)[-1]),
                    "signature"),
    "a line less": (lambda source: write(source.path, b"".join(read(source.path).splitlines(True)[:-1])), "signature"),
    "url": (lambda source: replace(source.path, b"/objects/", b"/0bjects/"), "signature"),
    "size, not signed": (lambda source: replace(source.path, b'"size":', b'"size":1'), "signature"),
    "signature": (lambda source: flip_signature(source, 1040), "signature"),
    "key id": (lambda source: flip_signature(source, 1003), "signed with the key"),
    "another key": (by_a_stranger, "signed with the key"),
    "another key, our id": (under_our_id, "signature"),
    "trusted comment": (lambda source: replace(source.signature, b"\ntrusted comment: ", b"\ntrusted comment: x"),
                        "trusted comment"),
    "signature of it": (lambda source: flip_signature(source, 3040), "trusted comment"),
    "no signature": (lambda source: os.unlink(source.signature), "HTTP 404"),
    "expired": (lambda source: sign_again(source, lambda line: None, expires=instant(-5)), "line 1: it has expired"),
    "..": (named_as("org1/../evil/model.bin"), "line 3: "),
    "../": (named_as("../evil"), "line 3: "),
    "/": (named_as("/org1/evil"), "line 3: "),
    "control character": (named_as("org1/evil\x1b[2J/model.bin"), "line 3: "),
    "line feed": (named_as("org1/evil\nmodel.bin"), "line 3: "),
    "nul": (named_as("org1/evil\0model.bin"), "line 3: "),
    "size": (lambda source: sign_again(source, lambda line: line.update(size=-1)), "line 3: "),
}


@pytest.fixture
def growing(published):
    """A library that got one model more: what the first release was, and what the second is."""
    source = published(refresh="0")
    write(source.original(GOOD), random.Random("good").randbytes(CHUNK + 5))
    source.release("--serial", "5")
    first = source.site()
    write(source.original(EVIL), random.Random("evil").randbytes(3 * MIB + 5))
    source.release("--serial", "6")
    return source, first, source.site()


def refresh(mounted):
    done = cli.weightfs("catalog", "refresh", "--store", mounted.store, "lab")
    return done.returncode, done.stderr


def assert_refused(mounted, part):
    """With one line, where it is asked for, and in the log and the status."""
    at = len(mounted.log())
    status, said = refresh(mounted)
    assert status == 1 and len(said.splitlines()) == 1 and said[:-1].isprintable(), said
    assert "lab" in said and part in said
    logged = [line for line in mounted.log()[at:].splitlines() if "lab" in line]
    assert len(logged) == 1 and part in logged[0] and logged[0].isprintable(), logged
    assert part in cli.ok("status", "--store", mounted.store)


def assert_shows(mounted, *names):
    """NAMES are all that there is, in name/ and hub/; nothing was opened, so hash/ has none."""
    assert files_below(mounted.path("name/")) == [f"lab/{name}" for name in names]
    assert sorted(os.listdir(mounted.path("hub"))) == \
        ["models--" + os.path.dirname(name).replace("/", "--") for name in names]
    assert os.listdir(mounted.path("hash")) == []


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered_catalogs(growing, mount, what):
    source, first, second = growing
    tamper, part = TAMPERED[what]
    source.put(first)
    knows = mount(source.section)
    assert refresh(knows)[0] == 0
    source.put(second)
    tamper(source)
    # To nginx it would be the same document, were it as long as the one before and made in the same second.
    os.utime(source.path, (2e9, 2e9))
    new = mount(source.section)
    for mounted, shown in ((knows, [GOOD]), (new, [])):
        assert_refused(mounted, part)
        assert_shows(mounted, *shown)
    # It was that alone.
    source.put(second)
    for mounted in (knows, new):
        assert refresh(mounted) == (0, "")
        assert_shows(mounted, GOOD, EVIL)
    assert sha256(named(knows, EVIL)) == sha256(source.original(EVIL))


def test_an_older_catalog(growing, mount):
    source, first, second = growing
    mounted = mount(source.section)
    assert refresh(mounted)[0] == 0
    source.put(first)
    assert_refused(mounted, "its serial is 5, but 6 was seen before")
    assert_shows(mounted, GOOD, EVIL)
    mounted.stop()
    mounted.start()
    assert_refused(mounted, "its serial is 5, but 6 was seen before")
    assert_shows(mounted, GOOD, EVIL)


@pytest.mark.parametrize("what", ["tree", "tree, short", "object", "object, short", "size+", "size-"])
def test_tampered_objects(growing, mount, what):
    """The catalog is right, or wrong by its publisher: what is read is right, or nothing is."""
    source, _, _ = growing
    digest, size, tree = source.line(EVIL)["sha256"], source.line(EVIL)["size"], source.served(EVIL, tree=True)
    if what == "tree":
        flip(tree, 100)
    elif what == "tree, short":
        os.truncate(tree, 100)
    elif what == "object":
        flip(source.served(EVIL), MIB + 100)
    elif what == "object, short":
        os.truncate(source.served(EVIL), size - 1)
    else:
        size += 1 if what == "size+" else -1
        sign_again(source, lambda line: line.update(size=size), serial=7)
    mounted = mount(source.section)
    assert refresh(mounted) == (0, "")
    path, original = named(mounted, EVIL), read(source.original(EVIL))
    assert os.stat(path).st_size == size
    seen = reader.whole(path)
    if what.startswith("tree"):  # all of it came instead, and was hashed
        assert seen["sha256"] == digest
    else:
        assert seen["errno"] == "EIO"
        assert seen["sha256_so_far"] == hashlib.sha256(original[:seen["offset"]]).hexdigest()
        assert seen["offset"] <= {"object": MIB, "object, short": 3 * MIB}.get(what, 0)
        assert os.listdir(mounted.path("hash")) == ([digest] if what == "object" else [])
    told = {"tree": f"wrong bytes: {digest} tree", "tree, short": f"{digest}", "object": f"wrong bytes: {digest} chunk 2",
            "object, short": f"{digest}"}
    mounted.wait_for_log("catalog lab: .*" + told.get(what, f"wrong bytes: {digest} tree"))
    assert cli.weightfs("verify", "--store", mounted.store).returncode == 0
