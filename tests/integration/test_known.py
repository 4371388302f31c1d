# SPDX-License-Identifier: Apache-2.0
"""What catalogs know: look-ups without a request, fronts at open, and bytes from where they say that they are."""

import contextlib
import errno
import hashlib
import json
import os
import shutil

import pytest

from conftest import ALICE, BOB
from harness import cli, reader
from harness.catalogs import FAR_FUTURE, Catalog, entry, instant
from harness.config import Source
from harness.models import unknown_digest
from harness.nginx import free_ports
from harness.paths import BLOCK, CHUNK, MIB
from harness.poll import wait_until
from harness.views import is_kept, view

APP = "https://app.example.com"
POLICY = f"caller any is local\nallow local to any with list\nallow desk to any\nallow {APP} to any with list\n"


@pytest.fixture
def model(models):
    return models.make(24 * MIB, "known")


def a_store(folder):
    """One that was opened before, so that there may be something in it."""
    os.mkdir(folder, 0o711)
    with open(os.path.join(folder, "lock"), "w"):
        pass


@pytest.fixture
def known(folder, mount):
    """Mounts a daemon whose store has kept a catalog of ENTRIES, of what SERVER serves; SOURCES: others."""
    made = []

    def make(server, *entries, sources=(), name="hub", expires=None, **kwargs):
        store = os.path.join(folder, f"store{len(made)}")
        catalog = Catalog(os.path.join(folder, f"catalog{len(made)}"), folder, server.url, name)
        a_store(store)
        catalog.keep(store, list(entries), **({"expires": expires} if expires else {}))
        made.append(catalog)
        return mount(*sources, catalog.section, policy=POLICY, store=store, **kwargs)

    return make


def no_requests(server):
    return not [r for r in server.requests(probes=True) if "jsonl" not in r["uri"]]


def front_uri(model):
    return f"/f/{model.fsverity}.vtree"


def audited(mounted, model):
    record = cli.record_of(mounted.store, model)
    return bool(record and record["state"] == "complete" and record.get("digest") == model.sha256)


# ---- look-ups --------------------------------------------------------------------------------------

def test_a_walk_asks_nobody(models, model, server, known):
    all_of_it = [model] + [models.blob(size, f"walk{size}") for size in (0, 1, BLOCK, CHUNK, CHUNK + 1, 3 * MIB)]
    mounted = known(server, *[entry(one) for one in all_of_it[:4]],
                    *[entry(one, attested=False) for one in all_of_it[4:]], sources=[*sources(server)])
    server.mark()
    for place in ("hash", os.path.join("origin", str(ALICE), "https_app.example.com_0", "hash")):
        for one in all_of_it:
            assert os.stat(mounted.path(place, one.sha256)).st_size == one.size
    for one in all_of_it[:4]:
        path = mounted.object(one.attested)
        assert os.stat(path).st_ino == os.stat(mounted.object(one.sha256)).st_ino
        assert os.getxattr(path, "user.weightfs.digest").decode() == one.sha256
    with pytest.raises(FileNotFoundError):
        os.stat(mounted.object(unknown_digest()))
    assert {r["uri"] for r in server.requests(probes=True)} == {f"/s/{unknown_digest()}"}


def sources(server):
    return [Source("lab", server.url, "fsverity"), Source("lab-sha256", server.url, "sha256")]


def test_offline_what_is_known_is_there_and_not_to_be_had(model, server, known):
    mounted = known(server, entry(model), options=["offline"])
    assert os.stat(mounted.object(model.sha256)).st_size == model.size
    with pytest.raises(OSError) as failed:
        os.open(mounted.object(model.sha256), os.O_RDONLY)
    assert failed.value.errno == errno.ENODATA
    assert no_requests(server)


def test_what_only_an_expired_catalog_has_is_not_known(model, small, server, known):
    mounted = known(server, entry(model), entry(small), expires=instant(-60), sources=sources(server)[1:])
    server.mark()
    # Nobody attests it any more: its size is a source's word, and it comes whole.
    assert os.stat(mounted.object(model.sha256)).st_size == model.size
    assert [r["uri"] for r in server.requests(probes=True)] == [f"/s/{model.sha256}"]
    with pytest.raises(FileNotFoundError):
        os.stat(mounted.object(small.attested))


def test_catalogs_that_contradict_each_other_are_not_believed(folder, model, small, server, mount):
    store = os.path.join(folder, "store")
    catalogs = [Catalog(os.path.join(folder, name), folder, server.url, name) for name in ("hub", "lab")]
    a_store(store)
    catalogs[0].keep(store, [entry(model), entry(small)])
    catalogs[1].keep(store, [entry(model, size=model.size + 1)])
    mounted = mount(*sources(server)[1:], *(catalog.section for catalog in catalogs), policy=POLICY, store=store)
    server.mark()
    assert os.stat(mounted.object(model.sha256)).st_size == model.size
    assert server.requests(probes=True), "a source was asked"
    with pytest.raises(FileNotFoundError):
        os.stat(mounted.object(model.attested))
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256


# ---- opens -----------------------------------------------------------------------------------------

def test_a_part_costs_the_front_and_its_chunks(model, server, known):
    mounted = known(server, entry(model))
    server.mark()
    got = reader.part(mounted.object(model.sha256), 20 * MIB, 4096)
    assert got["sha256"] == hashlib.sha256(model.read(20 * MIB, 4096)).hexdigest()
    assert server.body_bytes(front_uri(model)) == model.front_size
    assert CHUNK <= server.body_bytes(f"/f/{model.fsverity}") <= 4 * MIB
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256
    wait_until(lambda: audited(mounted, model), "its SHA-256 was compared with the bytes")


def test_the_front_is_kept(model, server, known, mount):
    mounted = known(server, entry(model))
    reader.part(mounted.object(model.sha256), 0, 4096)
    mounted.stop()
    mounted.start()
    server.mark()
    reader.part(mounted.object(model.sha256), 8 * MIB, 4096)
    assert server.body_bytes(front_uri(model)) == 0


@pytest.mark.parametrize("origin", ["local", APP])
def test_without_a_tree_all_of_it_comes(model, server, known, origin):
    mounted = known(server, entry(model, tree=False))
    assert reader.whole(view(mounted, origin, ALICE, "hash", model.sha256))["sha256"] == model.sha256
    wait_until(lambda: audited(mounted, model), "it is kept")


def test_a_web_origin_finds_what_catalogs_know(model, server, known):
    mounted = known(server, entry(model))
    path = view(mounted, APP, ALICE, "hash", model.sha256)
    server.mark()
    assert os.stat(path).st_size == model.size
    assert no_requests(server)
    assert reader.part(path, 5 * MIB, 4096)["sha256"] == hashlib.sha256(model.read(5 * MIB, 4096)).hexdigest()
    assert server.body_bytes(front_uri(model)) == model.front_size
    assert reader.whole(path)["sha256"] == model.sha256
    wait_until(lambda: is_kept(mounted, model), "it became the store's")


def test_what_is_not_attested_comes_whole(model, server, known):
    mounted = known(server, entry(model, attested=False))
    assert os.stat(mounted.object(model.sha256)).st_size == model.size
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256


def test_pull_gets_the_front_first(model, server, known):
    mounted = known(server, entry(model))
    cli.ok("pull", "--store", mounted.store, model.sha256)
    wait_until(lambda: audited(mounted, model), "it is audited")
    assert server.body_bytes(front_uri(model)) == model.front_size


# ---- places ----------------------------------------------------------------------------------------

def test_places_on_other_hosts_and_liars_among_them(model, nginx, hostile, known):
    """The first place lies about chunks and tree, the second one has both."""
    liar, honest = hostile(), nginx()
    lies = [f"{liar.url}/flip/f/{model.fsverity}", f"{honest.url}/f/{model.fsverity}"]
    mounted = known(honest, entry(model, urls=lies), sources=[Source("lab", "http://127.0.0.1:9", "sha256")])
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256


@pytest.mark.heavy
def test_files_that_are_open_keep_no_numbers(models, nginx, known):
    """More hosts than fetch/ has numbers, and of each a file that stays open."""
    port, = free_ports(1)
    server = nginx(extra=f"listen 0.0.0.0:{port};")
    small = [models.blob(BLOCK, f"open{i}") for i in range(70)]
    mounted = known(server, *(entry(one, urls=[f"http://127.0.1.{i + 1}:{port}/f/{one.fsverity}"], tree=False)
                              for i, one in enumerate(small)))
    with contextlib.ExitStack() as stack:
        for one in small:
            file = stack.enter_context(open(mounted.object(one.sha256), "rb", buffering=0))
            assert hashlib.sha256(file.read()).hexdigest() == one.sha256


def test_a_liar_has_the_only_tree(model, nginx, hostile, known):
    liar, honest = hostile(), nginx()
    line = entry(model)
    line["tree"] = f"{liar.url}/flip{front_uri(model)}"
    mounted = known(honest, line)
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256
    assert any(one["path"].endswith(front_uri(model)) for one in liar.log())
    mounted.wait_for_log("no source has its tree; all of it is fetched")


# ---- catalogs that are wrong -----------------------------------------------------------------------

def test_a_wrong_size_gives_no_bytes(model, server, known):
    mounted = known(server, entry(model, size=model.size - CHUNK))
    assert os.stat(mounted.object(model.sha256)).st_size == model.size - CHUNK
    with pytest.raises(OSError) as failed:
        with open(mounted.object(model.sha256), "rb") as file:
            file.read(4096)
    assert failed.value.errno == errno.EIO


def test_another_objects_tree_is_found_out_by_the_audit(models, model, server, known):
    """Both digests are of real files of one size, only not of the same."""
    other = models.make(24 * MIB, "other")
    assert other.size == model.size
    wrong = entry(other, sha256=model.sha256)
    mounted = known(server, wrong)
    reader.whole(mounted.object(model.sha256))   # trusted by design, until:
    mounted.wait_for_log("catalog hub, serial 1: .*are not those of one file")
    wait_until(lambda: not [one for one in cli.listed(mounted.store) if one.get("digest") == model.sha256],
               "it has left the store")
    with pytest.raises(FileNotFoundError):
        os.stat(mounted.object(model.sha256))
    assert cli.status(mounted.store)["catalogs_wrong"] >= 1


def test_another_objects_tree_is_found_out_by_a_whole_fetch(models, model, server, known):
    other = models.make(24 * MIB, "other")
    mounted = known(server, entry(other, tree=False, sha256=model.sha256, urls=[f"s/{model.sha256}"]))
    with pytest.raises(OSError) as failed:
        os.open(mounted.object(model.sha256), os.O_RDONLY)
    assert failed.value.errno == errno.EIO
    mounted.wait_for_log("catalog hub, serial 1: .*are not those of one file")


# ---- what a user's credential got ------------------------------------------------------------------

SECRET = "Bearer open-sesame"
LOCKED = f'if ($http_authorization != "{SECRET}") {{ return 401; }}'
IMPORTS = "[import]\nallow-http = yes\nallow-private = yes"


def imported(store, uid, model, base, gated=True, name="hf"):
    """As `import` of that user would have left it."""
    place = os.path.join(store, "imports", str(uid))
    os.makedirs(place, mode=0o700)
    os.chmod(os.path.dirname(place), 0o700)
    folder = "org/model@" + "0" * 40 + "/"
    line = entry(model, folder + "model.safetensors", attested=False, urls=[f"{base}/s/{model.sha256}"])
    header = {"weightfs-catalog": 1, "name": name, "serial": 1, "expires": FAR_FUTURE}
    with open(os.path.join(place, f"{name}.jsonl"), "w") as file:
        file.write("".join(json.dumps(one, separators=(",", ":")) + "\n" for one in (header, line)))
    rest = {"refs": {}, "gated": {folder: True} if gated else {},
            "hosts": {base: {"authorization": SECRET, "token_challenge": False}} if gated else {}}
    with open(os.path.join(place, f"{name}.1.json"), "w") as file:
        json.dump(rest, file)


def can(mounted, model, uid):
    """What the user finds: None, or the errno's name."""
    return reader.part(mounted.object(model.sha256), 0, 1, uid=uid).get("errno")


@pytest.fixture
def locked(nginx, folder, mount):
    """A source that wants a credential, which Alice has, and a daemon; POLICY: other than usual."""
    def make(model, policy=POLICY, sources=()):
        server, store = nginx(extra=LOCKED), os.path.join(folder, "store")
        a_store(store)
        imported(store, ALICE, model, server.url)
        return server, mount(*sources, IMPORTS, policy=policy, store=store)

    return make


def test_what_a_credential_got_is_its_users_alone(model, locked):
    server, mounted = locked(model)
    assert can(mounted, model, BOB) == "ENOENT"
    before = os.statvfs(mounted.point)
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    wait_until(lambda: is_kept(mounted, model), "it is the store's")
    server.mark()
    for _ in range(2):
        assert can(mounted, model, BOB) == "ENOENT"
        assert can(mounted, model, 0) == "ENOENT", "root has no import of it"
        assert model.sha256 not in reader.listing(mounted.path("hash"), uid=BOB)
        assert model.sha256 in reader.listing(mounted.path("hash"), uid=ALICE)
        with pytest.raises(FileNotFoundError):
            os.stat(view(mounted, "local", BOB, "hash", model.sha256))
        # Nor does the space it takes show. (Its size is no whole number of blocks.)
        now = os.statvfs(mounted.point)
        assert now.f_files == before.f_files == 0 and now.f_blocks - now.f_bfree <= 1
        assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
        # Whichever of her local views.
        assert os.stat(view(mounted, "desk", ALICE, "hash", model.sha256)).st_size == model.size
        mounted.stop()
        mounted.start()
    assert not server.requests(), "she has it"


def test_the_mark_survives_the_database(model, locked):
    server, mounted = locked(model)
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    wait_until(lambda: is_kept(mounted, model), "it is the store's")
    mounted.stop()
    shutil.rmtree(os.path.join(mounted.store, "meta"))
    mounted.start()
    wait_until(lambda: is_kept(mounted, model), "it was verified again")
    assert can(mounted, model, BOB) == "ENOENT"
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256


def test_others_fetch_it_themselves(model, locked, nginx):
    """Who has another source finds it there, whether or not somebody got it with a credential."""
    public = nginx()
    server, mounted = locked(model, sources=[Source("lab", public.url, "sha256")])
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    wait_until(lambda: is_kept(mounted, model), "it is the store's")
    public.mark()
    assert reader.whole(mounted.object(model.sha256), uid=BOB)["sha256"] == model.sha256
    assert public.body_bytes(f"/s/{model.sha256}") >= model.size, "fetched for Bob"


def test_what_is_known_to_others_does_not_get_their_bytes(model, folder, nginx, mount):
    """Bob claims to know it, too, and has it open first: what Alice's credential gets is not his."""
    server, store = nginx(extra=LOCKED), os.path.join(folder, "store")
    a_store(store)
    imported(store, ALICE, model, server.url)
    imported(store, BOB, model, server.url, gated=False)
    mounted = mount(IMPORTS, policy=POLICY, store=store)
    os.stat(view(mounted, "local", BOB, "hash", model.sha256))  # a record for all
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    wait_until(lambda: is_kept(mounted, model), "it is the store's")
    assert can(mounted, model, BOB) == "EIO"


def test_the_policy_may_name_it_for_all(model, locked):
    server, mounted = locked(model, policy=f"set ours sha256-{model.sha256}\nallow local to ours\n" + POLICY)
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    server.mark()
    assert reader.whole(mounted.object(model.sha256), uid=BOB)["sha256"] == model.sha256
    assert not server.requests()


def test_an_import_without_a_credential_is_for_all_once_it_is_here(model, folder, server, mount):
    store = os.path.join(folder, "store")
    a_store(store)
    imported(store, ALICE, model, server.url, gated=False)
    mounted = mount(IMPORTS, policy=POLICY, store=store)
    assert can(mounted, model, BOB) == "ENOENT"
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    server.mark()
    assert reader.whole(mounted.object(model.sha256), uid=BOB)["sha256"] == model.sha256
    assert not server.requests()


def test_pull_of_what_is_gated(model, locked):
    server, mounted = locked(model)
    os.chmod(mounted.store, 0o711)
    cli.ok("pull", "--store", mounted.store, model.sha256, uid=ALICE)
    server.mark()
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    assert not server.requests()
    assert can(mounted, model, BOB) == "ENOENT"


def test_what_is_pinned_stays_everybodys(model, locked, folder):
    server, mounted = locked(model)
    place = os.path.join(folder, "models", "the.bin")
    os.mkdir(os.path.dirname(place))
    shutil.copy(model.path, place)
    cli.ok("adopt", "--move", "--store", mounted.store, os.path.dirname(place))
    mounted.stop()
    with open(os.path.join(mounted.store, "objects", model.sha256[:2], model.sha256), "r+b") as stored:
        stored.seek(2 * CHUNK)
        stored.write(b"rot")
    mounted.start()
    os.chmod(mounted.store, 0o711)
    assert cli.weightfs("verify", "--store", mounted.store, model.sha256).returncode != 0
    [before] = cli.listed(mounted.store)
    assert before["pinned"] and before["state"] == "partial"
    for _ in range(2):
        server.mark()
        assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
        cli.ok("pull", "--store", mounted.store, model.sha256, uid=ALICE)
        wait_until(lambda: "stays apart" in mounted.log(), "it is not published")
        assert cli.listed(mounted.store) == [before]
        assert len(os.listdir(os.path.join(mounted.store, "tmp"))) == 1, "its file, and so its room"
    assert not server.requests(f"/s/{model.sha256}"), "it is kept for her"
    assert mounted.log().count("stays apart") == 1
    for uid in (0, BOB):
        assert reader.part(place, 3 * CHUNK, CHUNK, uid=uid).get("errno") is None
        assert reader.part(place, 2 * CHUNK, 1, uid=uid).get("errno"), "not by what her credential got"


# ---- explain ---------------------------------------------------------------------------------------

def explain(mounted, *args, uid=None):
    """Its lines, and what it prints for people."""
    lines = cli.weightfs("explain", "--json", "--store", mounted.store, *args, uid=uid).stdout.splitlines()
    return [json.loads(line) for line in lines], cli.weightfs("explain", "--store", mounted.store, *args, uid=uid).stdout


def topic(lines, name):
    return [line for line in lines if line["topic"] == name]


def test_explain_names_catalog_key_and_places(model, server, known):
    mounted = known(server, entry(model))
    lines, text = explain(mounted, model.sha256)
    [catalog] = topic(lines, "catalog")
    assert (catalog["catalog"], catalog["serial"], catalog["attests"]) == ("hub", 1, True)
    assert catalog["key"] in text
    assert {(place["host"], place["what"]) for place in topic(lines, "place")} == \
        {(f"127.0.0.1:{server.port}", "object"), (f"127.0.0.1:{server.port}", "tree")}
    assert topic(lines, "result")[0]["opens"]
    assert reader.whole(mounted.object(model.sha256))["sha256"] == model.sha256
    wait_until(lambda: topic(explain(mounted, model.sha256)[0], "trust")[0]["check"] == "computed", "it is audited")
    assert topic(explain(mounted, model.attested)[0], "catalog") == [catalog]


def test_explain_says_what_is_gated_and_to_whom(model, locked):
    server, mounted = locked(model)
    os.chmod(mounted.store, 0o711)
    assert reader.whole(mounted.object(model.sha256), uid=ALICE)["sha256"] == model.sha256
    wait_until(lambda: is_kept(mounted, model), "it is the store's")
    hers, text = explain(mounted, model.sha256, uid=ALICE)
    assert topic(hers, "gated") and topic(hers, "import")[0]["import"] == "hf" and topic(hers, "result")[0]["opens"]
    assert "sesame" not in text and "sesame" not in json.dumps(hers)
    his, _ = explain(mounted, model.sha256, uid=BOB)
    assert not topic(his, "gated") and not topic(his, "import")
    assert topic(his, "object")[0]["text"] == "unknown here"
