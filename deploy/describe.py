#!/usr/bin/env python3
"""Writes the metadata of a project that runs from its sources, so that its version can be read."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main(pyproject: str, packages: str) -> None:
    """Describe the project among the installed packages, as an installer would."""
    project = tomllib.loads(Path(pyproject).read_text())["project"]
    name, version = project["name"], project["version"]
    folder = Path(packages) / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
