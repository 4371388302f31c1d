# SPDX-License-Identifier: Apache-2.0
"""The commands, with a daemon and without, and what they refuse."""

import os
import re

import pytest

from conftest import NOBODY
from harness import cli, process, reader
from harness.config import Source
from harness.models import unknown_digest
from harness.mount import MountFailed
from harness.paths import CHUNK, MIB, TOP, WEIGHTFS
from harness.poll import wait_until


@pytest.fixture
def store(folder):
    return os.path.join(folder, "store")


@pytest.fixture
def offline_mount(mount):
    """A daemon without a source."""
    return mount()


# ---- add -------------------------------------------------------------------------------------------

def test_add_without_a_daemon(small, medium, store, mount, server):
    printed = cli.ok("add", "--store", store, small.path, medium.path)
    assert printed.splitlines() == [f"{m.sha256}  {m.path}" for m in (small, medium)]
    mounted = mount(store=store)
    for model in (small, medium):
        for name in (model.sha256, model.attested):
            assert reader.whole(mounted.object(name)) == {"sha256": model.sha256, "size": model.size}
    assert sorted(os.listdir(mounted.path("hash"))) == sorted([small.sha256, medium.sha256])


def test_add_with_a_daemon(small, medium, offline_mount):
    assert not os.path.exists(offline_mount.object(small.sha256))
    printed = cli.ok("add", "-o", f"store={offline_mount.store}", small.path, medium.path)
    assert printed.split()[::2] == [small.sha256, medium.sha256]
    for model in (small, medium):
        assert reader.whole(offline_mount.object(model.sha256))["sha256"] == model.sha256
        assert reader.whole(offline_mount.object(model.attested))["sha256"] == model.sha256


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_add_from_stdin(medium, store, mount, daemon):
    if daemon:
        mount(store=store)
    with open(medium.path, "rb") as file:
        result = process.run([WEIGHTFS, "add", "--store", store, "-"], stdin=file)
    assert (result.returncode, result.stdout) == (0, f"{medium.sha256}  -\n"), result.stderr
    assert cli.record_of(store, medium)["state"] == "complete"


@pytest.mark.parametrize("size", [0, 1, 4096, CHUNK, CHUNK + 1])
def test_add_of_odd_sizes(models, store, mount, size):
    model = models.blob(size, "add")
    cli.ok("add", "--store", store, model.path)
    assert reader.whole(mount(store=store).object(model.attested)) == \
        {"sha256": model.sha256, "size": size}


def test_add_twice_is_no_error_and_keeps_one(small, store):
    for _ in range(2):
        assert cli.ok("add", "--store", store, small.path).split()[0] == small.sha256
    assert len(cli.listed(store)) == 1


def test_add_of_what_is_partly_here_completes_it(medium, server, mount):
    mounted = mount(server)
    assert reader.part(mounted.object(medium.attested), 0, 10)["size"] == 10
    cli.ok("add", "--store", mounted.store, medium.path)
    server.mark()
    server.stop()
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    assert reader.whole(mounted.object(medium.sha256))["sha256"] == medium.sha256


def test_add_of_what_cannot_be_read(small, store, folder):
    result = cli.weightfs("add", "--store", store, f"{folder}/missing", small.path)
    assert result.returncode == 1
    assert f"{folder}/missing" in result.stderr
    assert small.sha256 in result.stdout, "the others are added"
    assert cli.weightfs("add", "--store", store, folder).returncode == 1
    assert cli.weightfs("add", "--store", store).returncode == 2


# ---- ls --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_ls(small, medium, server, mount, daemon):
    mounted = mount(server)
    assert cli.ok("ls", "--json", "--store", mounted.store) == ""
    reader.whole(mounted.object(small.sha256))
    reader.part(mounted.object(medium.attested), 0, 10)
    wait_until(lambda: cli.record_of(mounted.store, medium)["present"] >= CHUNK, "it is stored")
    if not daemon:
        mounted.stop()
    complete, partial = (cli.record_of(mounted.store, m) for m in (small, medium))
    assert complete["digest"] == small.sha256 and complete["fsverity"] == small.fsverity
    assert complete["size"] == complete["present"] == small.size
    assert complete["state"] == "complete"
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", complete["last_open"])
    assert "local" in " ".join(map(str, complete["origins"]))
    assert partial["fsverity"] == medium.fsverity and partial["state"] == "partial"
    assert CHUNK <= partial["present"] < partial["size"] == medium.size
    text = cli.ok("ls", "--store", mounted.store)
    assert small.sha256[:12] in text


def test_ls_of_a_store_that_is_not_there(folder):
    result = cli.weightfs("ls", "--store", f"{folder}/none/at/all")
    assert result.returncode in (0, 1) and result.stdout == ""


# ---- verify ----------------------------------------------------------------------------------------

def stored_file(store, model):
    for digest in (model.sha256, model.fsverity):
        for name in (digest, f"fsverity-{digest}"):
            path = os.path.join(store, "objects", digest[:2], name)
            if os.path.exists(path):
                return path
    raise AssertionError("no file of the object in the store")


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


@pytest.mark.parametrize("daemon", [False, True], ids=["alone", "daemon"])
def test_verify_finds_a_flipped_byte(small, medium, store, mount, daemon):
    cli.ok("add", "--store", store, small.path, medium.path)
    if daemon:
        mount(store=store)
    assert cli.weightfs("verify", "--store", store).returncode == 0
    assert cli.weightfs("verify", "--store", store, small.sha256, medium.attested).returncode == 0
    flip(stored_file(store, medium), medium.size // 2 + 5)
    result = cli.weightfs("verify", "--store", store)
    assert result.returncode == 1
    assert medium.sha256 in result.stdout + result.stderr
    assert cli.weightfs("verify", "--store", store, small.sha256).returncode == 0


def test_verify_of_what_is_not_there(small, store):
    cli.ok("add", "--store", store, small.path)
    assert cli.weightfs("verify", "--store", store, unknown_digest()).returncode == 1
    assert cli.weightfs("verify", "--store", store, "no-digest").returncode in (1, 2)


def test_verify_notices_a_truncated_file(small, store):
    cli.ok("add", "--store", store, small.path)
    os.truncate(stored_file(store, small), small.size - 1)
    result = cli.weightfs("verify", "--store", store)
    assert result.returncode == 1 and small.sha256 in result.stdout + result.stderr


# ---- explain ---------------------------------------------------------------------------------------

def test_explain(small, server, mount):
    mounted = mount(server)
    path = mounted.object(small.sha256)
    reader.whole(path)
    for target in (small.sha256, path):
        text = cli.ok("explain", "--conf", mounted.conf, "--store", mounted.store, target)
        assert small.sha256 in text and "local" in text
    mounted.stop()
    assert small.sha256 in cli.ok("explain", "--conf", mounted.conf, "--store", mounted.store,
                                  small.sha256)


def test_explain_says_why_it_is_denied(small, folder, store):
    policy = os.path.join(folder, "policy")
    with open(policy, "w") as file:
        file.write(f"caller any is local\nset bad sha256-{small.sha256}\ndeny local to bad\n"
                   "allow local to any\n")
    cli.ok("add", "--store", store, small.path)
    text = cli.weightfs("explain", "--policy", policy, "--store", store, small.sha256).stdout
    assert f"{policy}:3" in text


# ---- what is refused -------------------------------------------------------------------------------

def test_usage_errors_are_2():
    for args in ([], ["no-such-command"], ["ls", "--no-such-option"], ["mount"], ["umount"],
                 ["policy"], ["policy", "no-such"], ["explain"]):
        result = cli.weightfs(*args)
        assert result.returncode == 2, args
        assert result.stderr, args


def test_help_and_version():
    assert cli.ok("--help") and cli.ok("--version").startswith("weightfs ")
    for command in ("mount", "umount", "add", "ls", "verify", "tree", "policy", "explain"):
        assert command in cli.ok("--help")
        usage = cli.weightfs(command, "--help")
        assert f"usage: weightfs {command}" in usage.stdout + usage.stderr


@pytest.mark.parametrize("option", ["frobnicate", "frobnicate=1", "conf", "originn=x"])
def test_an_unknown_mount_option_is_named(folder, option):
    result = cli.weightfs("mount", "-f", "-o", f"store={folder}/store,{option}", "none", folder)
    assert result.returncode in (1, 2)
    assert option.split("=")[0] in result.stderr


@pytest.mark.parametrize("text,line", [
    ("[store]\nfrobnicate = 1\n", 2), ("[frobnicate]\nx = 1\n", 1), ("[store]\nsize = many\n", 2),
    ("[fetch]\nconnections = 0x\n", 2), ("[fetch]\n\nread-deadline = soon\n", 3),
    ("[fetch]\noffline = perhaps\n", 2), ("[source a]\nurl = ftp://x/{sha256}\n", 2),
    ("[source a]\nurl = https://x.example/{md5}\n", 2), ("nonsense\n", 1),
    ("[source a]\nurl = http://x.example/{sha256}\n", 2)])
def test_a_configuration_error_is_named_with_file_and_line(folder, text, line):
    conf = os.path.join(folder, "weightfs.conf")
    with open(conf, "w") as file:
        file.write(text)
    os.mkdir(os.path.join(folder, "mnt"))
    result = cli.weightfs("mount", "-f", "-o", f"store={folder}/store", conf, f"{folder}/mnt")
    assert result.returncode == 1
    assert f"{conf}:{line}" in result.stderr


def test_a_configuration_that_is_not_there(folder):
    result = cli.weightfs("mount", "-f", "-o", f"store={folder}/store", f"{folder}/none.conf", folder)
    assert result.returncode == 1 and f"{folder}/none.conf" in result.stderr


def test_a_mount_point_that_is_not_there(folder):
    result = cli.weightfs("mount", "-f", "-o", f"store={folder}/store", "none", f"{folder}/missing")
    assert result.returncode == 1 and f"{folder}/missing" in result.stderr


@pytest.mark.parametrize("command", ["add", "explain", "gc", "imports", "ls", "pin", "policy", "pull", "status", "verify"])
def test_output_that_cannot_be_written(small, server, mount, command):
    mounted = mount(server, start=command in ("pull", "status"))
    cli.ok("add", "--store", mounted.store, small.path)
    args = {"add": [small.path], "policy": ["print", mounted.policy], "gc": [], "imports": ["--json"], "ls": [],
            "status": []}.get(command, [small.sha256])
    options = ["--store", mounted.store] if command != "policy" else []
    if command == "imports":
        cli.ok("adopt", *options, small.path)
    with open("/dev/full", "w") as full:
        result = process.run([WEIGHTFS, command, *options, *args], stdout=full, stderr=-1, capture_output=False)
    assert result.returncode == 1, result.stderr


def test_the_configuration_as_source(small, server, mount):
    mounted = mount(server, conf_as_source=True)
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256


def test_the_store_path_from_the_configuration(small, server, mount, folder):
    path = os.path.join(folder, "elsewhere")
    mounted = mount(server, store_keys={"path": path, "size": "1G", "keep-free": "1%"}, start=False)
    mounted.command = [re.sub(r",store=[^,]*", "", word) for word in mounted.command]
    mounted.start()
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    assert os.stat(path).st_mode & 0o777 == 0o700
    assert os.path.exists(os.path.join(path, "CACHEDIR.TAG"))
    assert small.sha256 in cli.ok("ls", "--conf", mounted.conf, "--json")


def test_what_does_not_fit_the_store_is_served_all_the_same(medium, server, mount):
    mounted = mount(server, store_keys={"size": "16M"})
    assert reader.whole(mounted.object(medium.attested)) == \
        {"sha256": medium.sha256, "size": medium.size}
    assert sum(r["present"] for r in cli.listed(mounted.store)) <= 16 * MIB
    assert mounted.alive()


def test_the_store_is_private(small, server, mount):
    mounted = mount(server)
    reader.whole(mounted.object(small.sha256))
    assert os.stat(mounted.store).st_mode & 0o777 == 0o700
    assert process.run(["ls", mounted.store], uid=NOBODY).returncode != 0


def test_the_sample_configuration(folder, mount):
    """It parses; nothing of it is active that would ask a host on the network."""
    with open(os.path.join(TOP, "dist", "weightfs.conf.sample")) as file:
        text = file.read()
    conf = os.path.join(folder, "sample.conf")
    with open(conf, "w") as file:
        file.write(text)
    mounted = mount(start=False)
    mounted.command = [word.replace(mounted.conf, conf) for word in mounted.command]
    mounted.start()
    assert not os.path.exists(mounted.object(unknown_digest()))


def test_a_broken_source_is_named(folder, mount):
    source = Source("broken", "https://models.example")
    del source.keys["url"]
    mounted = mount(source, start=False)
    with pytest.raises(MountFailed, match="broken"):
        mounted.start()
    mounted.child = None


def test_explain_a_path_asks_the_daemon_of_its_mount(small, server, mount):
    """No --conf, no --store: the path says it. In another origin's view it is explained as that origin."""
    policy = ("caller any is local\nallow local to any with list\n"
              f"deny https://app.example.com to sha256-{small.sha256}\n"
              "allow https://app.example.com to any\n")
    mounted = mount(server, policy=policy)
    assert reader.whole(mounted.object(small.sha256))["sha256"] == small.sha256
    told = cli.ok("explain", mounted.object(small.sha256))
    assert "local" in told and "complete" in told and f"{mounted.policy}:2" in told
    denied = cli.weightfs("explain", mounted.path("origin", "0", "https_app.example.com_0", "hash", small.sha256))
    assert denied.returncode == 1
    told = denied.stdout
    assert "https://app.example.com (its view)" in told and f"deny ({mounted.policy}:3)" in told
    nowhere = cli.weightfs("explain", os.path.join(mounted.folder, small.sha256))
    assert nowhere.returncode == 1 and "not on a weightfs mount" in nowhere.stderr
