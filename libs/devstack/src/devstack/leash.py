"""Becomes another program, which the kernel ends when the parent dies. Run by path: stdlib only."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_NOBODY = 65534
"""PostgreSQL refuses to run as root; this user exists everywhere and owns nothing else of ours."""


def main() -> None:
    """Take `SIGNAL PARENT_PID USER PROGRAM …`, where USER is `self` or `nobody`."""
    death, parent, user, *program = sys.argv[1:]
    if user == "nobody" and os.geteuid() == 0:
        _drop_root()
    _die_with(int(parent), signal.Signals[death])
    os.execv(program[0], program)  # noqa: S606  without a shell is the point


def _die_with(parent: int, death: signal.Signals) -> None:
    # Last, since a change of user clears the death signal.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death.value, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent died before its child began")


def _drop_root() -> None:
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    if sys.platform == "linux":
        _keep_reading_everything(libc)


def _keep_reading_everything(libc: ctypes.CDLL) -> None:
    """Keep one right of root: a checkout below /root or a private temporary folder stays readable.

    Best effort: where the right can't be kept, the files must be readable for everyone.
    """
    right = 1 << _CAP_DAC_OVERRIDE
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    libc.capset(header, struct.pack("6I", right, right, right, 0, 0, 0))
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


if __name__ == "__main__":
    main()
