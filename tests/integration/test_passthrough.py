# SPDX-License-Identifier: Apache-2.0
"""Complete objects are read by the kernel straight from the store: when, when not, and what follows from it."""

import ctypes
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from conftest import ALICE, NOBODY
from harness import cli, pages, process, reader
from harness.mapping import Mapping
from harness.paths import CHUNK, KIB, MIB, MOUNT_OPTIONS, SOON
from harness.poll import wait_until

pytestmark = pytest.mark.skipif("nopassthrough" in MOUNT_OPTIONS, reason="is turned off")


def opens(mounted):
    """How many files are open: (passed through, cached)."""
    counts = cli.status(mounted.store)["open"]
    return counts["passthrough"], counts["cached"]


def wait_for_opens(mounted, through, cached):
    """RELEASE comes after close(2) has returned."""
    wait_until(lambda: opens(mounted) == (through, cached),
               f"{through} passed through, {cached} cached")


def why_not(mounted):
    told = cli.status(mounted.store)["passthrough"]
    assert not told["active"]
    return told["reason"]


def stored_file(mounted, model):
    """The one file in the store that has this model's bytes."""
    folder = os.path.join(mounted.store, "objects")
    found = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
             if name in (model.sha256, model.attested, f"sha256-{model.sha256}")]
    assert len(found) == 1, found
    return found[0]


def complete(mounted, model):
    return cli.record_of(mounted.store, model)["state"] == "complete"


def fetch(mounted, model):
    """MODEL, complete; its path."""
    path = mounted.object(model.attested)
    assert reader.whole(path)["sha256"] == model.sha256
    wait_until(lambda: complete(mounted, model), "complete")
    wait_for_opens(mounted, 0, 0)
    return path


def passthrough_once_known(mounted):
    """The mount point is there a moment before the kernel has said what it can."""
    told = cli.status(mounted.store)["passthrough"]
    return None if "not ready" in (told["reason"] or "") else told


@pytest.fixture
def mounted(mount, server):
    made = mount(server)
    told = wait_until(lambda: passthrough_once_known(made), "what the kernel can is known")
    if "does not offer" in (told["reason"] or ""):
        pytest.skip("the kernel has no FUSE passthrough")
    assert told == {"active": True, "reason": None}
    return made


# ---- what is passed through ------------------------------------------------------------------------

def test_a_complete_object_is(mounted, medium):
    with open(fetch(mounted, medium), "rb") as file:
        assert opens(mounted) == (1, 0)
        assert file.read() == medium.read()
    wait_for_opens(mounted, 0, 0)


def test_a_partial_one_is_not(mounted, medium):
    with open(mounted.object(medium.attested), "rb") as file:
        assert file.read(10) == medium.read(0, 10)
        assert opens(mounted) == (0, 1)


def test_an_unattested_one_is_at_its_first_open(mounted, medium):
    """It opens when all of it is here and verified."""
    with open(mounted.object(medium.unattested), "rb") as file:
        assert opens(mounted) == (1, 0)
        assert file.read() == medium.read()


def test_an_empty_one_reads_as_empty(mounted, models, folder):
    empty = models.blob(0, "empty")
    cli.ok("add", "--store", mounted.store, empty.path)
    with open(mounted.object(empty.sha256), "rb") as file:
        assert file.read() == b""


@pytest.mark.parametrize("way", ["read", "small", "mmap", "mmap-pages", "sendfile", "odd"])
def test_every_way_of_reading(mounted, medium, way):
    path = fetch(mounted, medium)
    for _ in range(2):
        assert reader.whole(path, way) == {"sha256": medium.sha256, "size": medium.size}


def test_users_without_a_right_to_the_store_read(mounted, medium):
    path = fetch(mounted, medium)
    assert os.stat(mounted.store).st_mode & 0o777 == 0o700
    for way in ("read", "mmap"):
        assert reader.whole(path, way, uid=ALICE) == {"sha256": medium.sha256, "size": medium.size}


def test_the_daemon_is_not_asked_for_bytes(mounted, medium):
    """Its process stands still, and all of the file is read."""
    with open(fetch(mounted, medium), "rb") as file:
        expected, go_on = medium.read(), [signal.SIGCONT]
        waited = threading.Timer(SOON, mounted.child.send_signal, go_on)
        mounted.child.send_signal(signal.SIGSTOP)
        waited.start()
        try:
            assert file.read() == expected
            assert waited.is_alive(), "it came from the daemon, when that went on"
        finally:
            waited.cancel()
            mounted.child.send_signal(*go_on)


# ---- one mode a node -------------------------------------------------------------------------------

def test_a_file_stays_open_across_completion(mounted, medium):
    path = mounted.object(medium.attested)
    with open(path, "rb", buffering=0) as old:
        assert old.read(1000) == medium.read(0, 1000)
        assert reader.whole(path)["sha256"] == medium.sha256
        wait_until(lambda: complete(mounted, medium), "complete")
        wait_for_opens(mounted, 0, 1)
        # The old node keeps its mode, whoever opens it; its name leads to the new one.
        with open(f"/proc/self/fd/{old.fileno()}", "rb") as same, open(path, "rb") as new:
            assert opens(mounted) == (1, 2)
            assert same.read() == new.read() == medium.read()
            assert os.pread(old.fileno(), 5000, medium.size - 5000) == \
                medium.read(medium.size - 5000)
            assert os.fstat(old.fileno()).st_ino == os.fstat(new.fileno()).st_ino
            # Both slots mapped at once.
            with Mapping(f"/proc/self/fd/{old.fileno()}") as a, Mapping(path) as b:
                assert a.read() == b.read() == medium.read()
        wait_for_opens(mounted, 0, 1)
        handle = os.open(f"/proc/self/fd/{old.fileno()}", os.O_PATH)
    wait_for_opens(mounted, 0, 0)
    try:
        # Nobody has the old node open any more: the next open of it may be passed through.
        with open(f"/proc/self/fd/{handle}", "rb") as again:
            assert opens(mounted) == (1, 0)
            assert again.read() == medium.read()
    finally:
        os.close(handle)


def test_the_old_node_by_o_path(mounted, medium):
    """OPEN serves any slot in any state."""
    path = mounted.object(medium.attested)
    handle = os.open(path, os.O_PATH)
    try:
        fetch(mounted, medium)
        with open(f"/proc/self/fd/{handle}", "rb") as file, open(path, "rb") as new:
            assert opens(mounted) == (2, 0)
            assert file.read() == new.read() == medium.read()
    finally:
        os.close(handle)


def test_a_mapping_keeps_the_cached_mode(mounted, medium):
    """close(2) of a mapped file is no RELEASE in this mode: the node stays cached."""
    path = mounted.object(medium.attested)
    handle = os.open(path, os.O_PATH)
    try:
        with Mapping(path) as view:
            assert view.read(0, 100) == medium.read(0, 100)
            assert reader.whole(path)["sha256"] == medium.sha256
            wait_until(lambda: complete(mounted, medium), "complete")
            wait_for_opens(mounted, 0, 1)
            with open(f"/proc/self/fd/{handle}", "rb") as same:
                assert opens(mounted) == (0, 2)
                assert same.read() == medium.read()
            assert view.read() == medium.read()
    finally:
        os.close(handle)
    wait_for_opens(mounted, 0, 0)


def test_opens_race_with_completion(mounted, models):
    """Openers of one path, again and again, while the object becomes complete under them."""
    model = models.blob(12 * MIB + 1, "race")
    path, wrong = mounted.object(model.attested), []
    done = threading.Event()
    first = os.open(path, os.O_PATH)

    def work(number):
        while True:
            last = done.is_set()
            for name in (path, f"/proc/self/fd/{first}"):
                offset = number * 12345
                try:
                    with open(name, "rb", buffering=0) as file:
                        if os.pread(file.fileno(), 4096, offset) != model.read(offset, 4096):
                            wrong.append((name, "bytes"))
                except OSError as error:
                    wrong.append((name, error))
            if last:
                return

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    try:
        assert reader.whole(path)["sha256"] == model.sha256
        wait_until(lambda: complete(mounted, model), "complete")
    finally:
        done.set()
        for worker in workers:
            worker.join()
        os.close(first)
    assert not wrong
    wait_for_opens(mounted, 0, 0)


# ---- hints, which come as READ ---------------------------------------------------------------------

def read_ahead(fd, offset, length):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.readahead(fd, ctypes.c_int64(offset), ctypes.c_size_t(length)) != 0:
        raise OSError(ctypes.get_errno(), "readahead")


def will_need(fd, offset, length):
    os.posix_fadvise(fd, offset, length, os.POSIX_FADV_WILLNEED)


@pytest.mark.parametrize("hint", [read_ahead, will_need])
def test_hints(mounted, medium, hint):
    with open(fetch(mounted, medium), "rb", buffering=0) as file:
        assert opens(mounted) == (1, 0)
        hint(file.fileno(), 0, 8 * MIB)
        # They were sent, as READ, and answered: what came lies in the mount's own cache.
        wait_until(lambda: pages.cached(file.fileno()) > 0, "some of it was read ahead")
        hint(file.fileno(), medium.size - 100 * KIB, 200 * KIB)
        assert file.read() == medium.read()
        assert file.read() == b""


# ---- the page cache --------------------------------------------------------------------------------

def test_two_origins_share_one_copy(mounted, models):
    model = models.make(96 * MIB, "shared")
    fetch(mounted, model)
    paths = [mounted.path("origin", str(uid), "local", "hash", model.attested)
             for uid in (0, ALICE)]
    stored = stored_file(mounted, model)
    pages.drop(stored)
    before = pages.cached_at(stored)
    files = [open(path, "rb", buffering=0) for path in paths]
    try:
        assert opens(mounted) == (2, 0)
        for path in paths:
            assert reader.whole(path)["sha256"] == model.sha256
            assert reader.whole(path, "mmap")["sha256"] == model.sha256
        grown = pages.cached_at(stored) - before + sum(pages.cached(file.fileno())
                                                       for file in files)
    finally:
        for file in files:
            file.close()
    assert model.size * 0.5 < grown <= model.size * 1.1


def test_without_it_the_stored_copy_is_given_up(mount, server, models):
    model = models.make(96 * MIB, "shared")
    mounted = mount(server, options=["nopassthrough"])
    path = fetch(mounted, model)
    stored = stored_file(mounted, model)
    with open(path, "rb", buffering=0) as file:
        before = pages.cached(file.fileno())
        for _ in range(2):
            assert reader.whole(path)["sha256"] == model.sha256
        assert opens(mounted) == (0, 1)
        own = pages.cached(file.fileno()) - before
        wait_until(lambda: pages.cached_at(stored) + own <= model.size * 1.1,
                   "what has been replied is cached once")
        assert own > model.size * 0.9
        # What was given up is read again from the disk, and the same.
        pages.drop(path)
        assert reader.whole(path, "odd")["sha256"] == model.sha256


def test_pages_of_the_old_node_are_freed(mount, server, medium):
    """With the last release after completion; seen in a mount where the old node keeps what it has cached."""
    mounted = mount(server, options=["nopassthrough"])
    path = mounted.object(medium.attested)
    handle = os.open(path, os.O_PATH)

    def old_node_has():
        return pages.cached_at(f"/proc/self/fd/{handle}")

    try:
        with open(path, "rb", buffering=0) as old:
            assert reader.whole(path)["sha256"] == medium.sha256
            wait_until(lambda: complete(mounted, medium), "complete")
            wait_for_opens(mounted, 0, 1)
            # Somebody has it open: it may be read once more.
            assert pages.cached(old.fileno()) >= medium.size * 0.9
            assert old.read(1000) == medium.read(0, 1000)
        wait_until(lambda: old_node_has() == 0, "freed")
        with open(f"/proc/self/fd/{handle}", "rb") as again:
            assert again.read() == medium.read()
    finally:
        os.close(handle)


def test_pages_of_the_old_node_are_freed_at_completion(mount, server, medium):
    """When the last release came first."""
    mounted = mount(server, options=["nopassthrough"])
    path = mounted.object(medium.attested)
    handle = os.open(path, os.O_PATH)
    try:
        assert reader.whole(path)["sha256"] == medium.sha256
        wait_until(lambda: complete(mounted, medium), "complete")
        wait_until(lambda: pages.cached_at(f"/proc/self/fd/{handle}") == 0, "freed")
    finally:
        os.close(handle)


# ---- what must not shake a reader ------------------------------------------------------------------

def test_removal_under_a_live_mapping(mounted, medium, server):
    """An object leaves the store by unlink: who has it mapped goes on, the next one fetches it again."""
    path = fetch(mounted, medium)
    with Mapping(path) as view:
        good = view.read(0, CHUNK)
        wait_for_opens(mounted, 0, 0)  # RELEASE came, though it is mapped
        server.mark()
        assert cli.weightfs("rm", "--store", mounted.store, medium.attested).returncode == 0
        assert cli.record_of(mounted.store, medium) is None
        assert view.read(0, CHUNK) == good == medium.read(0, CHUNK)
        assert view.read(21 * MIB) == medium.read(21 * MIB)
        assert reader.whole(path)["sha256"] == medium.sha256
        assert server.body_bytes(medium.blob_uri("attested")) >= medium.size
        assert view.read(30 * MIB, 100) == medium.read(30 * MIB, 100)


def damage(mounted, model):
    """Seven bytes of what is stored, in one chunk."""
    with open(stored_file(mounted, model), "r+b") as stored:
        stored.seek(20 * MIB)
        stored.write(b"damaged")


def test_repair_under_a_live_mapping(mounted, medium, server):
    """A damaged chunk is fetched again, into the file that others have mapped: they see its old bytes, then the right
    ones, and never a hole."""
    path = fetch(mounted, medium)
    with Mapping(path) as view:
        good = view.read(0, CHUNK)
        wait_for_opens(mounted, 0, 0)  # RELEASE came, though it is mapped
        damage(mounted, medium)
        server.mark()
        assert cli.weightfs("verify", "--store", mounted.store).returncode == 1
        assert cli.record_of(mounted.store, medium)["present"] == medium.size - CHUNK
        assert view.read(20 * MIB, 7) == b"damaged"
        assert view.read(0, CHUNK) == good == medium.read(0, CHUNK)
        assert view.read(21 * MIB) == medium.read(21 * MIB)
        assert reader.whole(path)["sha256"] == medium.sha256
        assert server.body_bytes(medium.blob_uri("attested")) == CHUNK
        wait_until(lambda: complete(mounted, medium), "complete again")
        assert view.read() == medium.read()


def test_repair_under_an_open_file(mounted, medium):
    path = fetch(mounted, medium)
    with open(path, "rb", buffering=0) as file:
        damage(mounted, medium)
        assert cli.weightfs("verify", "--store", mounted.store).returncode == 1
        assert file.read(CHUNK) == medium.read(0, CHUNK)
        assert os.fstat(file.fileno()).st_size == medium.size
        # The same inode number, another node: nothing of the one is served as the other's.
        assert reader.whole(path)["sha256"] == medium.sha256
        wait_until(lambda: complete(mounted, medium), "complete again")
        assert reader.whole(path)["sha256"] == medium.sha256
        assert os.pread(file.fileno(), 100, 30 * MIB) == medium.read(30 * MIB, 100)


def test_what_is_added_mends_what_others_have_open(mounted, medium):
    """It comes into the same file: who opens it next gets what the first one has open."""
    path = fetch(mounted, medium)
    with open(path, "rb", buffering=0) as file:
        damage(mounted, medium)
        assert cli.weightfs("verify", "--store", mounted.store).returncode == 1
        assert cli.weightfs("add", "--store", mounted.store, medium.path).returncode == 0
        assert reader.whole(path)["sha256"] == medium.sha256
        assert os.pread(file.fileno(), 7, 20 * MIB) == medium.read(20 * MIB, 7)
    assert cli.weightfs("verify", "--store", mounted.store).returncode == 0


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_a_mapping_outlives_the_daemon(mounted, medium, end):
    path = fetch(mounted, medium)
    pages.drop(stored_file(mounted, medium))
    with Mapping(path) as view:
        getattr(mounted, end)()
        assert view.read() == medium.read()
    mounted.start()
    assert reader.whole(mounted.object(medium.attested))["sha256"] == medium.sha256
    assert opens(mounted)[1] == 0


# ---- fallbacks -------------------------------------------------------------------------------------

def test_nopassthrough(mount, server, medium):
    mounted = mount(server, options=["nopassthrough"])
    assert why_not(mounted) == "-o nopassthrough"
    assert "off: -o nopassthrough" in cli.ok("status", "--store", mounted.store)
    with open(fetch(mounted, medium), "rb") as file:
        assert opens(mounted) == (0, 1)
        assert file.read() == medium.read()


def test_an_ordinary_user_has_no_right_to_it(mount, server, medium):
    mode = os.stat("/dev/fuse").st_mode & 0o777
    os.chmod("/dev/fuse", mode | 0o666)
    try:
        mounted = mount(server, uid=NOBODY)
        assert "CAP_SYS_ADMIN" in why_not(mounted)
        path = mounted.object(medium.attested)
        for way in ("read", "mmap", "odd"):
            assert reader.whole(path, way, uid=NOBODY)["sha256"] == medium.sha256
        told = cli.ok("status", "--store", mounted.store, uid=NOBODY)
        assert "CAP_SYS_ADMIN" in told
    finally:
        os.chmod("/dev/fuse", mode)


def test_a_store_on_a_stacked_filesystem(mount, server, medium, folder):
    layers = {name: os.path.join(folder, name) for name in ("lower", "upper", "work", "merged")}
    for path in layers.values():
        os.mkdir(path)
    process.run(["mount", "-t", "overlay", "overlay", "-o",
                 "lowerdir={lower},upperdir={upper},workdir={work}".format(**layers),
                 layers["merged"]], check=True)
    try:
        mounted = mount(server, store=os.path.join(layers["merged"], "store"))
        assert "stacked" in why_not(mounted)
        with open(fetch(mounted, medium), "rb") as file:
            assert opens(mounted) == (0, 1)
            assert file.read() == medium.read()
        assert reader.whole(mounted.object(medium.sha256), "mmap")["sha256"] == medium.sha256
        mounted.stop()
    finally:
        process.run(["umount", layers["merged"]], check=True)


# ---- nothing is left behind ------------------------------------------------------------------------

def backing_calls(trace):
    """What the calls to register a file returned, and those to give it back, of a trace by strace."""
    results, begun = {"0x1": [], "0x2": []}, {}
    with open(trace) as file:
        for line in file:
            thread = line.split()[0]
            if call := re.search(r"ioctl\(\d+, _IOC\(_IOC_WRITE, 0xe5, (0x[12]),", line):
                begun[thread] = call[1]
            if thread in begun and (result := re.search(r"\)\s+= (-?\d+)", line)):
                results[begun.pop(thread)].append(int(result[1]))
    return results["0x1"], results["0x2"]


@pytest.mark.native
def test_backing_ids_do_not_leak(mounted, models, folder):
    """Ten thousand opens, by four threads, of two nodes of a file."""
    model = models.blob(5000, "leak")
    fetch(mounted, model)
    paths = [mounted.path("origin", str(uid), "local", "hash", model.attested)
             for uid in (0, ALICE)]
    trace, expected = os.path.join(folder, "trace"), model.read()
    tracer = process.spawn(["strace", "-qq", "-f", "-e", "trace=ioctl", "-o", trace,
                            "-p", str(mounted.child.pid)], stderr=subprocess.DEVNULL)
    wrong, tries = [], []

    def work(path):
        for _ in range(2500):
            fd = os.open(path, os.O_RDONLY)
            if os.pread(fd, 10000, 0) != expected:
                wrong.append(path)
            os.close(fd)

    def traced():
        tries.append(paths[0])
        os.close(os.open(paths[0], os.O_RDONLY))
        return os.path.exists(trace) and backing_calls(trace)[0]

    try:
        wait_until(traced, "strace follows")
        workers = [threading.Thread(target=work, args=(path,)) for path in paths * 2]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        wait_for_opens(mounted, 0, 0)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(60)
    assert not wrong
    opened, closed = backing_calls(trace)
    assert set(closed) == {0}, "an id was given back that was none"
    # strace takes one thread after the other: of the first tries it may have seen how they ended only.
    assert len(opened) > 1000 and 0 <= len(closed) - len(opened) <= len(tries)
    assert all(number > 0 for number in opened)


def test_an_interrupted_open_gives_its_id_back(mounted, medium):
    """Openers that are killed at any moment: what they began is ended."""
    path = fetch(mounted, medium)
    code = ("import os, sys\n"
            "while True: os.close(os.open(sys.argv[1], os.O_RDONLY))\n")
    for _ in range(30):
        children = [process.spawn(["/usr/bin/python3", "-c", code, path]) for _ in range(2)]
        wait_until(lambda: opens(mounted) != (0, 0), "they open it", interval=0)
        for child in children:
            process.kill_group(child)
        wait_for_opens(mounted, 0, 0)


# ---- status ----------------------------------------------------------------------------------------

def test_status(mounted, medium, server):
    fetch(mounted, medium)
    told = cli.status(mounted.store)
    assert set(told) == {"version", "pid", "mountpoint", "passthrough", "uptime", "offline", "store", "policy", "views",
                         "open", "sources", "hits", "in_flight", "memory", "catalogs", "catalogs_wrong",
                         "disagreements"}
    assert told["pid"] == mounted.child.pid
    assert told["mountpoint"] == mounted.point
    assert told["store"]["path"] == mounted.store
    assert told["store"]["objects"] == 1
    assert medium.size <= told["store"]["used"] <= told["store"]["limit"]
    assert json.loads(cli.ok("status", "--json", mounted.point))["pid"] == mounted.child.pid
    nowhere = cli.weightfs("status", mounted.folder)
    assert nowhere.returncode == 1 and mounted.folder in nowhere.stderr
    assert cli.weightfs("status", mounted.point, mounted.point).returncode == 2
    lab = next(source for source in told["sources"] if source["name"] == "lab")
    assert lab["requests"] > 0 and lab["bytes"] >= medium.size
    assert lab["errors"] == lab["lies"] == 0 and lab["last_error"] is None
    text = cli.ok("status", "--store", mounted.store)
    for word in (str(mounted.child.pid), mounted.point, mounted.store, "lab", "on"):
        assert word in text


def test_status_tells_of_a_source_that_fails(mount, server, medium):
    mounted = mount(server)
    server.stop()
    reading = reader.Reader("part", mounted.object(medium.attested), 0, 10)
    try:
        wait_until(lambda: any(s["errors"] and s["last_error"]
                               for s in cli.status(mounted.store)["sources"]), "an error is told")
    finally:
        reading.kill()


def test_status_for_others(mounted, medium):
    """Where it is and how it serves; nothing of what others do."""
    fetch(mounted, medium)
    for path in (mounted.folder, mounted.store):
        os.chmod(path, 0o755)  # the socket of the system's daemon is not in the store
    told = cli.status(mounted.store, uid=ALICE)
    assert set(told) == {"version", "pid", "mountpoint", "passthrough", "uptime", "offline"}
    assert told["passthrough"]["active"]


def test_status_without_a_daemon(mounted, medium, folder):
    mounted.stop()
    result = cli.weightfs("status", "--store", mounted.store)
    assert result.returncode == 1 and "no daemon" in result.stderr
    assert cli.weightfs("status", "--store", os.path.join(folder, "nothing")).returncode == 1
    assert cli.weightfs("status", "--store", mounted.store, "surplus", "more").returncode == 2
