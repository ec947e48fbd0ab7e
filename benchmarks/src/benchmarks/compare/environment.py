"""The peers' own environment: installed by hash into .local, apart from the suite's."""

import asyncio
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from devstack.topology import LOCAL

from benchmarks.compare.peers import ENVIRONMENT, PROGRAMS, PYTHON

LOCK = PROGRAMS / "requirements.lock"
NODE_LOCK = PROGRAMS / "package-lock.json"
NODE = LOCAL / "peers-node"
UV = LOCAL / "uv" / "bin" / "uv"
_STAMP = "installed"
_LAST_WORDS = 300
"""Characters of a failed command's output that are shown."""


class NotInstalled(Exception):
    """What is missing, and why."""


async def install() -> None:
    """Install the Python packages of all peers; raises NotInstalled."""
    if _current(LOCK, ENVIRONMENT):
        return
    await _run(UV, "venv", "--quiet", "--allow-existing", "--python", sys.executable, ENVIRONMENT)
    await _run(UV, "pip", "sync", "--quiet", "--require-hashes", "--python", PYTHON, LOCK)
    _stamp(LOCK, ENVIRONMENT)


async def install_node() -> None:
    """Install the server that comes from npm; raises NotInstalled."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("there is no npm on this machine, from which its server comes")
    if _current(NODE_LOCK, NODE):
        return
    NODE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PROGRAMS / name, NODE)
    await _run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", NODE)
    _stamp(NODE_LOCK, NODE)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Read what the lock file pins."""
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", LOCK.read_text(), re.MULTILINE))
    return {name: pinned[name] for name in packages}


def _current(lock: Path, folder: Path) -> bool:
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_bytes() == lock.read_bytes()


def _stamp(lock: Path, folder: Path) -> None:
    (folder / _STAMP).write_bytes(lock.read_bytes())


async def _run(*command: object) -> None:
    try:
        child = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        raise NotInstalled(str(error)) from error
    output, _ = await child.communicate()
    if child.returncode:
        said = output.decode(errors="replace").strip()[-_LAST_WORDS:]
        raise NotInstalled(f"{Path(str(command[0])).name} failed: {said}")
