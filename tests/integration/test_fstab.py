# SPDX-License-Identifier: Apache-2.0
"""mount(8) and fstab, in namespaces of their own so that nothing of it stays on the machine."""

import os

from harness import process
from harness.paths import WEIGHTFS
from harness.poll import wait_until

# The helper is looked for in /sbin only. An overlay with one more folder on top puts it there, for
# this mount namespace; the process namespace takes the daemon with it, whatever happens.
SCRIPT = """
set -e
mount -t overlay -o lowerdir="$1/sbin:$(realpath /sbin)" overlay "$(realpath /sbin)"
mount -a -T "$1/fstab" -t weightfs
findmnt -n -o FSTYPE,OPTIONS "$1/mnt"
sha256sum "$1/mnt/hash/$2"
mount -t weightfs -o "$3" none "$1/mnt2"
sha256sum "$1/mnt2/hash/$2"
umount "$1/mnt2"
"$4" umount "$1/mnt"
! findmnt "$1/mnt"
# Both daemons end.
timeout 20 pidwait 'weightfs$' || [ $? -eq 1 ]  # 1: there is none
echo done
"""


def prepare(folder, options):
    for name in ("sbin", "mnt", "mnt2"):
        os.mkdir(os.path.join(folder, name))
    os.symlink(WEIGHTFS, os.path.join(folder, "sbin", "mount.weightfs"))
    with open(os.path.join(folder, "fstab"), "w") as file:
        file.write(f"none {folder}/mnt weightfs {options} 0 0\n")


def test_fstab(small, server, mount, folder):
    donor = mount(server, start=False)  # for its configuration file
    options = f"conf={donor.conf},store={folder}/store,ro,nosuid,nodev,noexec,nofail,_netdev," \
              "x-systemd.requires=network-online.target"
    prepare(folder, options)
    second = f"conf={donor.conf},store={folder}/store2"
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
               "--mount-proc", "sh", "-c", SCRIPT, "sh", folder, small.sha256, second, WEIGHTFS]
    result = process.run(command, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert "weightfs" in lines[0] and "ro" in lines[0] and "noexec" in lines[0]
    assert [line.split()[0] for line in lines[1:3]] == [small.sha256, small.sha256]
    assert lines[-1] == "done"


def test_fstab_with_an_unknown_option(mount, folder):
    prepare(folder, f"store={folder}/store,frobnicate=7")
    command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
               "--mount-proc", "sh", "-c", SCRIPT, "sh", folder, "0", "none", WEIGHTFS]
    result = process.run(command, timeout=120)
    assert result.returncode != 0
    assert "frobnicate" in result.stderr


def test_helper_syntax(small, server, mount, folder):
    """mount.weightfs SOURCE MOUNTPOINT -o …, as mount(8) calls it."""
    donor = mount(server, start=False)
    prepare(folder, "defaults")
    helper, point = os.path.join(folder, "sbin", "mount.weightfs"), os.path.join(folder, "mnt")
    try:
        result = process.run([helper, donor.conf, point, "-o", f"rw,store={folder}/store"],
                             capture_output=False, timeout=60)
        assert result.returncode == 0
        assert process.run(["sha256sum", f"{point}/hash/{small.sha256}"], check=True
                           ).stdout.split()[0] == small.sha256
    finally:
        process.run([WEIGHTFS, "umount", point])
    wait_until(lambda: process.run([WEIGHTFS, "ls", "--store", f"{folder}/store"]).returncode == 0,
               "the daemon has ended")
