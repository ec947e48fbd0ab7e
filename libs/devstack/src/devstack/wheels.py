"""Finds the server programs that installed wheels carry."""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path


def program_of(distribution: str, ending: str) -> Path:
    """Return the path of a program by the end of its path inside the wheel.

    Not by import: these packages bring server managers that write outside our folder.
    """
    carried = files(distribution) or []
    return next(Path(str(file.locate())) for file in carried if str(file).endswith(ending))
