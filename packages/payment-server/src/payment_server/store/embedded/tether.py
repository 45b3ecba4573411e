"""The program that stands between fork and exec of a child: it gives up root where told to,
ties itself to its parent's life, and becomes the program named in its arguments.

`child_process` runs this file as a script. It is a program, not a `preexec_fn`, because no Python
may run between fork and exec of a process that has threads (gRPC brings many). It must import
nothing of ours and little of Python: every launch pays for it (about 15 ms).

Arguments: the parent's pid, the signal to die by, an identity (see `child_process.Identity`),
the program's path, its arguments.
"""

import ctypes
import os
import sys
from pathlib import Path

REFUSED = 125
"""Exit status: the system refused the identity, the tie or the program."""

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
# PGOPTIONS, PGPORT or LANG would change what the program does, and the service's secrets are none
# of its business: it gets an environment of its own.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


def main(arguments: list[str]) -> None:
    """Becomes the program; exits with REFUSED, and says why on stderr, when it cannot."""
    parent_pid, death_signal, identity, program, *rest = arguments
    try:
        _take_on(identity)
        if sys.platform == "linux":
            # After the identity: the kernel forgets the death signal when credentials change.
            _call_system("prctl", _PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != int(parent_pid):
            return  # it died before the tie was made: nobody would ever pull it
        os.execve(program, [program, *rest], _ENVIRONMENT)  # noqa: S606 - the very purpose
    except OSError as refusal:
        sys.stderr.write(f"cannot start {program} as {identity}: {refusal}\n")
        sys.exit(REFUSED)


def _take_on(identity: str) -> None:
    kind, *ids = identity.split(":")
    if kind == "self":
        return
    uid, gid = map(int, ids)
    if kind == "namespace":
        _look_like(uid, gid)
        return
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _look_like(uid: int, gid: int) -> None:
    """Seen from inside a user namespace we are `uid`; seen from outside all stays as it was."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _call_system("unshare", _CLONE_NEWUSER)
    process = Path("/proc/self")
    (process / "setgroups").write_text("deny")  # the kernel wants this before gid_map
    (process / "uid_map").write_text(f"{uid} {outer_uid} 1")
    (process / "gid_map").write_text(f"{gid} {outer_gid} 1")


def _call_system(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
