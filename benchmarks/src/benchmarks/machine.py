"""Where and on what code a figure was measured: without it a figure means nothing."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
from devstack.topology import ROOT

GIB = 1024**3
_CPU_INFO = Path("/proc/cpuinfo")


def facts() -> dict[str, str]:
    """Describe this machine, and whose build of Python runs: they differ in speed."""
    return {
        "cores": str(os.cpu_count()),
        "cpu": _model(),
        "memory": f"{psutil.virtual_memory().total / GIB:.0f} GiB",
        "system": platform.platform(),
        "python": f"{platform.python_version()} of {sys.base_prefix}",
    }


def commit() -> str:
    """Name the commit of this checkout, and whether something in it is not committed."""
    name = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{name or 'unknown'}{' with changes' if changed else ''}"


def _git(*arguments: str) -> str:
    git = subprocess.run(  # noqa: S603  our own words
        ["git", "-C", ROOT, *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return git.stdout.strip()


def _model() -> str:
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.is_file() else []
    models = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(models, platform.processor()).strip() or "unknown"
