"""Outlives the process that started it by a moment, to kill what that one left behind.

The second of two safeguards: the leash needs Linux and a living main thread, this needs neither.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def reap(lines: Iterable[str]) -> None:
    """Follow `+PID SIGNAL` and `-PID` until the writer is gone, then signal the groups left."""
    left: dict[int, signal.Signals] = {}
    for line in lines:
        pid, *death = line[1:].split()
        if line.startswith("+"):
            left[int(pid)] = signal.Signals[death[0]]
        else:
            left.pop(int(pid), None)
    for group, last_signal in left.items():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, last_signal)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    reap(sys.stdin)
