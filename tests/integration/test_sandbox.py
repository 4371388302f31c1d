# SPDX-License-Identifier: Apache-2.0
"""Real sandboxes, two at once: a bind mount of a view is all that each needs, and all that it sees."""

import os

import pytest

from conftest import ALICE, BOB
from harness import process, reader
from harness.models import unknown_digest
from harness.mount import Mount
from harness.paths import CHUNK, WEIGHTFS
from harness.policymodel import VIEW, directory
from harness.poll import wait_until
from harness.sandbox import Guest, Machine, bare, bubblewrap, container, service

APP, WIKI = "https://app.example.com", "https://wiki.example.com"


class Scene:
    """Two origins with an object of their own each, one for both, and one for neither."""

    def __init__(self, models, small):
        self.app, self.wiki, self.neither = (models.blob(5 * CHUNK + 1, f"sandbox {name}")
                                             for name in ("app", "wiki", "neither"))
        self.both = small
        self.policy = self.rules()

    def rules(self, *first):
        names = lambda *some: ",".join(f"sha256-{model.sha256},{model.attested}" for model in some)
        return "\n".join([
            f"broker uid {ALICE}", *first, f"caller uid {ALICE} is launcher", f"caller uid {BOB} is {WIKI}",
            "caller any is local",
            f"allow {APP} to {names(self.app, self.both)} with list",
            f"allow {WIKI} to {names(self.wiki, self.both)} with list",
            f"allow local to {names(self.neither)} with list", ""])

    def of(self, origin):
        """What it may have, and what it may not."""
        own, other = (self.app, self.wiki) if origin == APP else (self.wiki, self.app)
        return (own, self.both), (other, self.neither)


@pytest.fixture
def scene(models, small):
    return Scene(models, small)


@pytest.fixture
def guest(folder):
    made = []

    def make(name, uid=ALICE):
        made.append(Guest(folder, name, uid))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def machine(folder):
    made = []

    def make(name, units, binds):
        made.append(Machine(folder, name, units, binds).start())
        return made[-1]

    yield make
    for one in made:
        one.stop()


def view(mounted, origin, uid=ALICE):
    return mounted.path("origin", str(uid), directory(origin))


def check_both(scene, guests, at="/models/hash"):
    """GUESTS by their origin, all at once: each sees its own, twice, and nothing else."""
    for _ in range(2):
        for origin, guest in guests.items():
            own, others = scene.of(origin)
            guest.ask(*[[how, f"{at}/{name}"] for model in own for name in (model.sha256, model.attested)
                        for how in ("read", "mmap")],
                      *[["calls", f"{at}/{name}"] for model in others
                        for name in (model.sha256, f"sha256-{model.sha256}", f"sha256:{model.sha256}", model.attested)],
                      ["calls", f"{at}/{unknown_digest()}"], ["list", at])
        for origin, guest in guests.items():
            own, others = scene.of(origin)
            answers = guest.answers()
            for at_, model in enumerate(own):
                for answer in answers[4 * at_:4 * at_ + 4]:
                    assert answer == {"sha256": model.sha256, "size": model.size}, f"{origin}: {guest.log()}"
            refused = answers[8:-1]
            assert len(refused) == 9 and all(set(calls.values()) == {"ENOENT"} for calls in refused)
            assert set(answers[-1]) <= {name for model in own for name in (model.sha256, model.attested)}


def check_walls(guest, scene, place="/models"):
    """Nothing but the view can be reached from within."""
    origin, others = "origin", [WIKI, APP]
    guesses = [f"{place}/../{origin}", f"{place}/../../{origin}", f"{place}/hash/../../{origin}", f"{place}/{origin}",
               f"{place}/hash/{origin}", f"{place}/../{ALICE}", f"{place}/../../{ALICE}"]
    guesses += [f"{up}/{directory(other)}{down}" for other in others for down in ("", "/hash")
                for up in (place, f"{place}/..", f"{place}/hash/../..", f"{place}/../{ALICE}", f"{place}/../../..")]
    answers = guest.now(["list", place], ["list", f"{place}/.."], ["list", "/"], ["everything", "/"],
                        *[["calls", guess] for guess in guesses])
    inside, above, root, everything = answers[:4]
    assert inside == VIEW
    assert above == root and "origin" not in root
    hidden = {name for model in scene.of(APP)[1] + scene.of(WIKI)[1] for name in (model.sha256, model.attested)}
    own = {os.path.basename(path) for path in everything if path.startswith(f"{place}/hash/")}
    assert own, "what was read is listed"
    assert not any("https_" in path for path in everything)
    outside = {os.path.basename(path) for path in everything if not path.startswith(f"{place}/")}
    assert not hidden & outside and not own & outside
    assert all(set(calls.values()) <= {"ENOENT", "ENOTDIR"} for calls in answers[4:]), list(zip(guesses, answers[4:]))


# ---- bubblewrap ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def user_namespaces():
    if process.run(["unshare", "--user", "--map-root-user", "true"], ALICE).returncode != 0:
        pytest.skip("no user namespaces for ordinary users on this machine")


def test_bubblewrap(scene, guest, server, mount, user_namespaces):
    mounted = mount(server, policy=scene.policy)
    guests = {APP: guest("app"), WIKI: guest("wiki")}
    for origin, one in guests.items():
        bubblewrap(one, {"/models": view(mounted, origin)})
    for one in guests.values():
        one.wait_until_ready()
        assert one.now(["identity", ""])[0] == [ALICE, 2], "in namespaces of its own"
    check_both(scene, guests)
    for origin, one in guests.items():
        check_walls(one, scene)
        fuse = [mount for mount in one.now(["mounts", "/proc/self/mountinfo"])[0] if mount[1] == "/models"]
        assert fuse == [[f"/origin/{ALICE}/{directory(origin)}", "/models"]], "the place says who it is, and nothing else"


def test_a_single_file_and_a_hash_folder(scene, guest, server, mount, user_namespaces):
    """A bind mount of less than a view works alone. The file is bound before anything of it is here."""
    mounted = mount(server, policy=scene.policy)
    place = view(mounted, APP)
    file, folder = guest("file"), guest("folder")
    bubblewrap(file, {"/model.bin": f"{place}/hash/{scene.app.attested}"})
    bubblewrap(folder, {"/objects": f"{place}/hash"})
    for one in (file, folder):
        one.wait_until_ready()
    whole = {"sha256": scene.app.sha256, "size": scene.app.size}
    for _ in range(2):
        for one in (file, folder):
            one.ask(["read", "/model.bin" if one is file else f"/objects/{scene.app.attested}"],
                    ["mmap", "/model.bin" if one is file else f"/objects/{scene.app.attested}"], ["list", "/"],
                    ["calls", f"/objects/{scene.neither.sha256}"])
        for one in (file, folder):
            read, mapped, root, denied = one.answers()
            assert read == mapped == whole, one.log()
            assert ("objects" in root) == (one is folder)
            assert set(denied.values()) == {"ENOENT"}
    names = folder.now(["list", "/objects"])[0]
    assert names in ([scene.app.sha256], [scene.app.attested])


def test_what_is_revoked_is_gone_in_the_sandbox(scene, guest, server, mount, user_namespaces):
    mounted = mount(server, policy=scene.policy)
    whole, file = guest("view"), guest("file")
    bubblewrap(whole, {"/models": view(mounted, APP)})
    bubblewrap(file, {"/model.bin": f"{view(mounted, APP)}/hash/{scene.app.attested}"})
    questions = {whole: ["read", f"/models/hash/{scene.app.attested}"], file: ["read", "/model.bin"]}
    for one, question in questions.items():
        one.wait_until_ready()
        assert one.now(question)[0]["sha256"] == scene.app.sha256
    mounted.set_policy(scene.rules(f"deny {APP} to {scene.app.attested},{scene.app.sha256}"))
    for one, question in questions.items():
        wait_until(lambda: one.now(question)[0].get("errno") == "ENOENT", "it is revoked")
    assert whole.now(["read", f"/models/hash/{scene.both.sha256}"])[0]["sha256"] == scene.both.sha256
    assert scene.app.sha256 not in whole.now(["list", "/models/hash"])[0]


def test_who_is_no_broker_makes_no_sandbox(scene, guest, server, mount, user_namespaces):
    """Of another user's view, or of an origin that is not its own."""
    mounted = mount(server, policy=scene.policy)
    reader.whole(f"{view(mounted, APP)}/hash/{scene.app.sha256}")
    for origin, uid in ((APP, ALICE), (WIKI, ALICE), (APP, BOB)):
        one = guest(f"{directory(origin)}-{uid}", BOB)
        bubblewrap(one, {"/models": view(mounted, origin, uid)})
        wait_until(one.ended, "bwrap has failed")
        assert one.child.returncode != 0 and "No such file or directory" in one.log()
    own = guest("own", BOB)
    bubblewrap(own, {"/models": view(mounted, WIKI, BOB)})
    own.wait_until_ready()
    assert own.now(["read", f"/models/hash/{scene.wiki.sha256}"])[0]["sha256"] == scene.wiki.sha256


# ---- guesses ---------------------------------------------------------------------------------------

def spellings(origin):
    """Of its directory; none is its name."""
    right = directory(origin)
    scheme, host, port = right.split("_")
    dotted = host.replace(".", "\u3002")  # what IDN takes for a dot
    return [right.upper(), right.capitalize(), f"{scheme}_{host}._{port}", f"{scheme}_{host}.._{port}",
            f"{scheme}_.{host}_{port}", f"{scheme}_{host}_443", f"{scheme}_{host}_00", f"{scheme}_{host}_", f"{scheme}_{host}",
            f"{scheme}_{host}_-0", f"{scheme}_{host}_0_0", f"{scheme}_{host}_0 ", f" {right}", f"{right}.", f"{right}\n",
            f"{scheme}__{host}_{port}", f"{scheme}%5F{host}_{port}", right.replace("a", "%61"), right.replace(".", "%2E"),
            f"{scheme}_{host.upper()}_{port}", f"{scheme}_{dotted}_{port}", f"{scheme}_xn--{host}_{port}",
            f"{scheme}_user@{host}_{port}", f"{scheme}_*.example.com_{port}", f"{scheme}:__{host}_{port}",
            f"{scheme}_{host}:443_{port}", origin.replace("/", "_"), origin.replace("/", "\\"), f"{right}\\", "*", ".", "any",
            f"sha256:{right}", f"sha256-{unknown_digest()}", unknown_digest(), right.encode().hex(), "none", "hash", "x" * 255]


def users_spelled(uid):
    return [f"0{uid}", f"+{uid}", f" {uid}", f"{uid} ", f"{uid}.0", hex(uid), str(uid + 2**32), str(uid + 2**64), str(-uid),
            f"{uid}_", "%31" + str(uid)[1:], "0", "00", "-1", "4294967295", "alice", str(uid + 1)]


@pytest.mark.parametrize("origin", [APP, WIKI])
def test_guessed_directories(scene, guest, server, mount, origin):
    """After its owner has been there, by its user who has another origin, another user, and in all spellings also by root."""
    mounted = mount(server, policy=scene.policy.replace(f"broker uid {ALICE}\n", ""))
    own, _ = scene.of(origin)
    place = view(mounted, origin)
    assert reader.whole(f"{place}/hash/{own[0].sha256}")["sha256"] == own[0].sha256

    # To root the folder of any origin is there, also of one that looks like a misspelled one; not with these objects.
    object_ = f"hash/{own[0].sha256}"
    guesses = {uid: [os.path.join("origin", str(ALICE), name, object_) for name in spellings(origin)] for uid in (0, ALICE, BOB)}
    guesses[ALICE] += [f"origin/{ALICE}/{name}" for name in spellings(origin) + [directory(origin)] if name != "."]
    guesses[BOB] += guesses[ALICE] + [f"origin/{name}/{directory(origin)}/{object_}" for name in [ALICE, *users_spelled(ALICE)]
                                      if name != str(BOB)]
    guesses[BOB] += [f"origin/{ALICE}", f"origin/{ALICE}/.", f"origin/{BOB}/../{ALICE}"]
    # Up and down again leads nowhere else.
    guesses[BOB] += [f"{up}/{directory(origin)}/{object_}" for up in (
        f"origin/{BOB}/../{ALICE}", f"origin/{BOB}/{directory(WIKI)}/../../{ALICE}",
        f"origin/{BOB}/{directory(WIKI)}/hash/../../../{ALICE}", f"hash/../../../{ALICE}")]
    for uid, paths in guesses.items():
        one = guest(f"uid-{uid}", uid)
        bare(one)
        for calls, path in zip(one.now(*[["calls", mounted.path(path)] for path in paths]), paths):
            assert set(calls.values()) <= {"ENOENT", "ENAMETOOLONG"}, f"{path!r} by {uid}: {calls}"
    assert reader.whole(f"{place}/{object_}")["sha256"] == own[0].sha256


def test_guesses_from_within(scene, guest, server, mount, user_namespaces):
    """A sandbox that has all of the mount, and the identity of an ordinary user, finds its own origin only."""
    mounted = mount(server, policy=scene.policy)
    for origin in (APP, WIKI):
        own, _ = scene.of(origin)
        assert reader.whole(f"{view(mounted, origin)}/hash/{own[0].sha256}")["sha256"] == own[0].sha256
    one = guest("all", BOB)
    bubblewrap(one, {"/all": mounted.point})
    one.wait_until_ready()
    guesses = [f"/all/origin/{ALICE}/{name}" for origin in (APP, WIKI) for name in spellings(origin) + [directory(origin)]
               if name != "."]
    guesses += [f"/all/origin/{BOB}/{name}" for name in spellings(APP) + [directory(APP), "local", "launcher"] if name != "."]
    guesses += [f"/all/origin/{name}/{directory(APP)}" for name in users_spelled(ALICE) if name != str(BOB)]
    guesses.append(f"/all/origin/{ALICE}")
    for calls, guess in zip(one.now(*[["calls", guess] for guess in guesses]), guesses):
        assert set(calls.values()) <= {"ENOENT", "ENAMETOOLONG"}, guess
    own, users, link = one.now(["read", f"/all/hash/{scene.wiki.sha256}"], ["list", "/all/origin"], ["readlink", "/all/hash"])
    assert own["sha256"] == scene.wiki.sha256
    assert users == [str(BOB)] and link == f"origin/{BOB}/{directory(WIKI)}/hash"


# ---- machines and containers -----------------------------------------------------------------------

def test_services_of_a_machine(scene, guest, machine, server, mount):
    """systemd-nspawn: two services with BindReadOnlyPaths=, which do not see the mount that it comes from."""
    mounted = mount(server, policy=scene.policy)
    guests = {APP: guest("app", ALICE), WIKI: guest("wiki", BOB)}
    units = {f"{one.name}.service": service(one, f"BindReadOnlyPaths=/weightfs/{directory_of(origin, one)}:/models",
                                            "InaccessiblePaths=/weightfs /outs")
             for origin, one in guests.items()}
    booted = machine("services", units, {"/weightfs": ("ro", mounted.point), "/models": ("", ""), **outs(guests)})
    wait_for_guests(guests, booted)
    check_both(scene, guests)
    for one in guests.values():
        check_walls(one, scene)
        assert one.now(["list", "/weightfs"])[0] in ("EACCES", "EPERM")


def directory_of(origin, guest):
    return f"origin/{guest.uid}/{directory(origin)}"


def outs(guests):
    return {f"/outs/{one.name}": ("rw", one.out) for one in guests.values()}


def wait_for_guests(guests, booted):
    for one in guests.values():
        wait_until(lambda: os.path.exists(one.path("ready")) or booted.child.poll() is not None, f"{one.name} has started")
        assert booted.child.poll() is None, booted.log()


def test_units_of_a_machine(scene, guest, machine, server, mount, folder):
    """The daemon is a service, too, and knows others by their units: two of one user, with an origin each."""
    rules = scene.rules(f"caller unit app.service is {APP}", f"caller unit wiki.service is {WIKI}").replace(
        f"caller uid {ALICE} is launcher\n", "").replace(f"broker uid {ALICE}\n", "")
    donor = mount(server, policy=rules, start=False, kind=Mount)
    guests = {APP: guest("app"), WIKI: guest("wiki")}
    stranger = guest("stranger")
    everybody = {**guests, "stranger": stranger}
    units = {f"{one.name}.service": service(one, "InaccessiblePaths=/outs", after="weightfs.service")
             for one in everybody.values()}
    units["weightfs.service"] = "\n".join([
        "[Unit]", "DefaultDependencies=no", "[Service]", "Type=exec",
        f"ExecStart={WEIGHTFS} mount -f -o conf={donor.conf},policy={donor.policy},store=/store none /weightfs",
        "ExecStartPost=/bin/sh -c 'until mountpoint -q /weightfs; do sleep 0.05; done'", ""])
    store = os.path.join(folder, "machine-store")
    os.mkdir(store)
    built, place = os.path.dirname(WEIGHTFS), os.path.dirname(donor.conf)
    booted = machine("units", units, {"/store": ("rw", store), "/weightfs": ("", ""), "/dev/fuse": ("rw", "/dev/fuse"),
                                      built: ("ro", built), place: ("ro", place), **outs(everybody)})
    wait_for_guests(everybody, booted)
    check_both(scene, guests, "/weightfs/hash")
    for origin, one in guests.items():
        assert one.now(["readlink", "/weightfs/hash"])[0] == f"origin/{ALICE}/{directory(origin)}/hash"
    assert stranger.now(["readlink", "/weightfs/hash"])[0] == f"origin/{ALICE}/local/hash"
    assert stranger.now(["read", f"/weightfs/hash/{scene.neither.sha256}"])[0]["sha256"] == scene.neither.sha256


def test_containers(scene, guest, server, mount, folder):
    """An OCI runtime: the view is a mount of the bundle."""
    mounted = mount(server, policy=scene.policy)
    guests = {APP: guest("app", ALICE), WIKI: guest("wiki", BOB)}
    for origin, one in guests.items():
        container(one, folder, {"/models": view(mounted, origin, one.uid)})
    for one in guests.values():
        one.wait_until_ready()
    check_both(scene, guests)
    for one in guests.values():
        check_walls(one, scene)
