#!/usr/bin/env python3
"""Picks out of requirements.lock what the roots named need, directly or not, and no more.

Reads the lock on standard input. A root is a package, or a project of this workspace as the lock's
"# via" comments name it. Needs nothing but Python, since it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

_ENTRY = re.compile(r"(?m)^(?=[A-Za-z0-9])")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_VIA = re.compile(r"(?m)^ +#(?: via)? +([A-Za-z0-9._-]+)$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One pinned package of the lock, and who wants it."""

    name: str
    text: str
    wanted_by: frozenset[str]


def parse(lock: str) -> list[Requirement]:
    """Split the lock into its packages; one may be there twice, for different Pythons."""
    entries = [entry for entry in _ENTRY.split(lock) if entry and not entry.startswith("#")]
    return [
        Requirement(_name_of(entry), entry, frozenset(_VIA.findall(entry))) for entry in entries
    ]


def needed(requirements: list[Requirement], roots: set[str]) -> list[Requirement]:
    """Follow who wants whom from the roots."""
    reached, size = set(roots), 0
    while len(reached) > size:
        size = len(reached)
        reached |= {found.name for found in requirements if found.wanted_by & reached}
    chosen = [requirement for requirement in requirements if requirement.name in reached]
    if not chosen:
        message = f"the lock knows none of {', '.join(sorted(roots))}"
        raise ValueError(message)
    return chosen


def _name_of(entry: str) -> str:
    match = _NAME.match(entry)
    if match is None:
        message = f"no package name in {entry.splitlines()[0]!r}"
        raise ValueError(message)
    return match.group()


def main() -> int:
    """Print the entries that the roots given as arguments need."""
    try:
        chosen = needed(parse(sys.stdin.read()), set(sys.argv[1:]))
    except ValueError as error:
        sys.stderr.write(f"dependencies: {error}\n")
        return 1
    sys.stdout.write("".join(requirement.text for requirement in chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
