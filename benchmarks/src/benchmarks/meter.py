"""CPU time and memory of every process of a stack, from /proc."""

import os
from collections.abc import Mapping

import psutil
from devstack.stack import Stack
from devstack.topology import SERVICES

from benchmarks.rig import Rig

SUITE = (*SERVICES, "postgres", "kafka")
"""What an order costs its owner; the rest stands in for the outside world, or for its customers."""
GENERATOR = "generator"
ALL = "all of the suite"
MIB = 1024 * 1024


def cpu_seconds(rig: Rig) -> dict[str, float]:
    """Return user and system time so far by process; a server's children count with it."""
    return of_stack(rig.stack)


def of_stack(stack: Stack) -> dict[str, float]:
    """Return the same of a stack that need not have services."""
    pids = {**stack.processes.pids, GENERATOR: os.getpid()}
    return {
        # the generator's children are what it measures
        name: _own_seconds(psutil.Process(pid)) if name == GENERATOR else family_seconds(pid)
        for name, pid in pids.items()
    }


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what each process used between two looks, in seconds."""
    return {name: after[name] - before[name] for name in before}


def price(before: Mapping[str, float], after: Mapping[str, float], orders: int) -> dict[str, float]:
    """Return the CPU milliseconds of an order: of the whole suite, and by process."""
    parts = {name: seconds / orders * 1000 for name, seconds in spent(before, after).items()}
    return {ALL: sum(parts[name] for name in SUITE)} | parts


def resident_mib(rig: Rig) -> dict[str, float]:
    """Return the resident memory of each service now, in MiB."""
    return {
        name: psutil.Process(rig.services.pid(name)).memory_info().rss / MIB for name in SERVICES
    }


def family_seconds(pid: int) -> float:
    """Count the ended children too: a Postgres backend that ends leaves its time to its parent."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    ended = own.children_user + own.children_system
    return ended + sum(map(_own_seconds, (process, *process.children(recursive=True))))


def _own_seconds(process: psutil.Process) -> float:
    try:
        own = process.cpu_times()
    except psutil.NoSuchProcess:  # since it was listed; its parent has its time now
        return 0.0
    return own.user + own.system
