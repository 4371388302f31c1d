# SPDX-License-Identifier: Apache-2.0
import glob
import os
import shutil
import sys
import tempfile
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True

from harness import config, models as models_module, mount as mount_module, process  # noqa: E402
from harness.hostile import Hostile  # noqa: E402
from harness.library import Library, wait_until_named  # noqa: E402
from harness.link import Link  # noqa: E402
from harness.mount import Mount, mounts_below  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.paths import CHUNK, MIB, MODEL_SIZE, SANITIZER, TOOLS, WEIGHTFS  # noqa: E402
from harness.tls import Certificate  # noqa: E402

TEST_TIMEOUT = 600 if SANITIZER else 300
if os.environ.get("WEIGHTFS_LONG"):
    TEST_TIMEOUT = 3600

# An ordinary user with a passwd entry, and two without.
NOBODY, ALICE, BOB = 65534, 12001, 12002


def pytest_configure(config):
    if not os.access(WEIGHTFS, os.X_OK):
        pytest.exit(f"{WEIGHTFS} is not there: build it, or set WEIGHTFS", returncode=3)
    if os.geteuid() != 0:
        pytest.exit("the integration tests mount and change identities: run them as root", returncode=3)


# Files that take long, mostly to wait: they begin first, so that none of them is left at the end.
LONG_FILES = ("test_reload", "test_outage", "test_sharing", "test_hostile", "test_matrix", "test_sources", "test_timing",
              "test_read", "test_consumers")


# Files that another build runs, but for what needs this one: see check.sh.
ELSEWHERE = os.environ.get("WEIGHTFS_ELSEWHERE", "").split()


def file_of(item):
    return item.module.__name__.rsplit(".", 1)[-1]


def is_elsewhere(item):
    needed = item.get_closest_marker("native") or item.get_closest_marker("heavy")
    return file_of(item) in ELSEWHERE and not needed


def pytest_collection_modifyitems(config, items):
    place = {name: i for i, name in enumerate(LONG_FILES)}
    config.hook.pytest_deselected(items=[item for item in items if is_elsewhere(item)])
    items[:] = sorted((item for item in items if not is_elsewhere(item)),
                      key=lambda item: place.get(file_of(item), len(LONG_FILES)))


# ---- the session -----------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def base():
    """The session's folder. Any user may pass through it (pytest's own are 0700)."""
    os.umask(0o022)
    folder = tempfile.mkdtemp(prefix="weightfs-test-", dir=os.environ.get("TMPDIR", "/var/tmp"))
    os.chmod(folder, 0o755)
    yield os.path.realpath(folder)
    left_mounted = mounts_below(folder)
    for point in reversed(left_mounted):
        mount_module.detach(point)
    left_running = [child.args for child in process.alive()]
    process.kill_all()
    shutil.rmtree(folder, ignore_errors=True)
    assert not left_mounted, "left mounted"
    assert not left_running, "left running"
    assert not processes_that_name(folder), "left running, by its command line"


def processes_that_name(folder):
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                command = file.read()
        except OSError:
            continue
        if os.fsencode(folder) in command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture(scope="session")
def models(base):
    made = models_module.Models(os.path.join(base, "models"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def big(models):
    """Large enough for what is measured on it. WEIGHTFS_MODEL_SIZE."""
    return models.make(MODEL_SIZE, "big")


@pytest.fixture(scope="session")
def medium(models):
    """A few transfers of 16 MiB, and a short last chunk."""
    return models.make(40 * MIB, "medium")


@pytest.fixture(scope="session")
def small(models):
    """Three chunks and 17 bytes."""
    return models.blob(3 * CHUNK + 17, "small")


@pytest.fixture(scope="session")
def certificate(base):
    folder = os.path.join(base, "tls")
    os.mkdir(folder)
    return Certificate(folder)


@pytest.fixture(scope="session", autouse=True)
def sanitizer_folder(base):
    """Where sanitizers of all processes write, so that a report of any of them is found."""
    folder = os.path.join(base, "sanitizer")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    log = f"log_path={folder}/report:exitcode=99:halt_on_error=1:abort_on_error=0"
    suppressions = os.path.join(TOOLS, "sanitizer")
    for variable, options in {
            "ASAN_OPTIONS": f"{log}:detect_leaks=1:detect_stack_use_after_return=1",
            "LSAN_OPTIONS": f"suppressions={suppressions}/lsan.supp:print_suppressions=0",
            "UBSAN_OPTIONS": f"{log}:print_stacktrace=1",
            "TSAN_OPTIONS": f"{log}:suppressions={suppressions}/tsan.supp:"
                            "ignore_noninstrumented_modules=1:second_deadlock_stack=1"}.items():
        os.environ[variable] = options
    return folder


# ---- each test -------------------------------------------------------------------------------------

@pytest.fixture(autouse=True)
def watchdog(request):
    """A test that hangs in the mount cannot be interrupted from Python: ends its processes instead."""
    timer = threading.Timer(TEST_TIMEOUT, process.kill_all)
    timer.daemon = True
    timer.start()
    yield
    expired = not timer.is_alive()
    timer.cancel()
    assert not expired, f"took longer than {TEST_TIMEOUT} s: its processes were killed"


@pytest.fixture(autouse=True)
def no_sanitizer_report(sanitizer_folder, watchdog):
    yield
    reports = ""
    for path in sorted(glob.glob(os.path.join(sanitizer_folder, "report.*"))):
        with open(path, errors="replace") as file:
            reports += file.read()
        os.unlink(path)
    assert not reports, f"sanitizer reports:\n{reports}"


@pytest.fixture
def folder(base, request):
    """This test's own folder. What its servers logged is shown when it fails."""
    path = tempfile.mkdtemp(prefix="t-", dir=base)
    os.chmod(path, 0o755)
    yield path
    for point in reversed(mounts_below(path)):
        mount_module.detach(point)
    if getattr(request.node, "failed", False):
        for log in sorted(glob.glob(os.path.join(path, "nginx*", "error.log"))):
            with open(log, errors="replace") as file:
                print(f"---- {os.path.relpath(log, path)}\n{file.read()[-4000:]}")
    shutil.rmtree(path, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed:
        item.failed = True
        log = "".join(f"---- daemon log {m.log_path}\n{m.log()[-6000:]}\n"
                      for m in getattr(item, "mounts", []))
        if log:
            report.sections.append(("daemon", log))


@pytest.fixture
def nginx(folder, models):
    """Makes servers of the models' folder, or another; the first one by nginx()."""
    servers = []

    def make(root=models.root, **kwargs):
        server = Nginx(os.path.join(folder, f"nginx{len(servers)}"), root, **kwargs)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(nginx):
    """A plain HTTP source of the models."""
    return nginx()


@pytest.fixture
def link():
    """Slow links to servers: link(server, rate)."""
    links = []

    def make(server, rate, **kwargs):
        links.append(Link(server, rate, **kwargs))
        return links[-1]

    yield make
    for one in links:
        one.stop()


@pytest.fixture
def published(folder, nginx):
    """Makes publishers' folders, each with a site of its own that nginx serves; the first one by published()."""
    made = []

    def make(**kwargs):
        place = os.path.join(folder, f"library{len(made)}")
        root = os.path.join(place, "site")
        os.makedirs(root)
        made.append(Library(place, root, nginx(root), **kwargs))
        return made[-1]

    return make


@pytest.fixture
def hostile(models):
    servers = []

    def make(*options):
        servers.append(Hostile(models.root, *options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def mount(folder, request):
    """Mounts a daemon. SOURCES: sections or servers. POLICY: text. FETCH: keys of [fetch].

    At the end every daemon that still runs is asked to end, and must do so with status 0.
    """
    made = request.node.mounts = []

    def make(*sources, policy=None, fetch=None, start=True, store=None, store_keys=None, again=None,
             kind=Mount, **kwargs):
        if again:  # the same configuration and store once more
            again.start()
            return again
        place = os.path.join(folder, f"m{len(made)}")
        os.mkdir(place)
        os.chmod(place, 0o755)
        sections = []
        for source in sources:
            sections += config.sources_of(source) if hasattr(source, "url") else [source]
        conf = config.write(os.path.join(place, "weightfs.conf"), sections, store_keys, fetch or {})
        policy_path = None
        if policy is not None:
            policy_path = os.path.join(place, "policy")
            with open(policy_path, "w") as file:
                file.write(policy)
        mounted = kind(place, conf, policy_path, store, **kwargs)
        made.append(mounted)
        return mounted.start() if start else mounted

    yield make
    try:
        for mounted in made:
            if mounted.child:
                mounted.stop()
    finally:
        for mounted in made:
            mounted.clean_up()


@pytest.fixture
def library(published, mount):
    """Mounts a machine that reads a library by its names: FILL(folder) writes the models, which are published as the
    catalog lab. Of the publisher it has the public key alone. `library` of the mount: the folder with the originals.
    """
    def make(fill, **kwargs):
        source = published()
        fill(source.models)
        source.release()
        mounted = mount(source.section, **kwargs)
        wait_until_named(mounted, source.name)
        mounted.library = source.models
        return mounted

    return make
