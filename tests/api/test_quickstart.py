"""The README's order and docs/quickstart.md, run as they stand: each output is what they show."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Market

ROOT = Path(__file__).parents[2]
PAGES = {
    "README": (ROOT / "README.md").read_text().split("## One order by hand")[1].split("\n## ")[0],
    "quickstart": (ROOT / "docs" / "quickstart.md").read_text(),
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of block ---"

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]


def steps(page: str) -> list[tuple[str, str]]:
    """Pair each block of commands with the output that the page shows, if any."""
    blocks: list[tuple[str, str]] = []
    for language, text in BLOCK.findall(page):
        if language == "sh":
            blocks.append((text, ""))
        else:
            blocks[-1] = (blocks[-1][0], text)
    return blocks


@pytest.fixture(scope="module")
def stream_life() -> str:
    """Let a stream live as long as a reader's own: it is to end with its order."""
    return "15m"


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
async def test_the_page_runs_as_it_stands(page: str, market: Market, tmp_path: Path) -> None:
    _stand_in_a_clone(market, tmp_path)
    script = "\n".join(f"{commands}\necho; echo '{END}'" for commands, _ in steps(page))

    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", script),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode().replace("\r", "")

    for (commands, expected), found in zip(steps(page), output.split(END), strict=False):
        assert _matches(expected, found), (
            f"{commands}\nshows\n{found}\nbut the page says\n{expected}"
        )
    assert process.returncode == 0, output


def _stand_in_a_clone(market: Market, folder: Path) -> None:
    """Make the folder look like a clone in which `make dev` runs."""
    names = ("order", "inventory", "payment", "notification")
    env = {f"{name.upper()}_URL": market.services.url(name) for name in names}
    env["JWT_PRIVATE_KEY_FILE"] = market.services.env("order")["JWT_PRIVATE_KEY_FILE"]
    (folder / ".local").mkdir()
    lines = [f"export {name}={value}" for name, value in env.items()]
    (folder / ".local" / "stack.env").write_text("\n".join(lines) + "\n")
    (folder / ".venv").symlink_to(Path(sys.prefix))


def _matches(expected: str, found: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, found.strip()) is not None
