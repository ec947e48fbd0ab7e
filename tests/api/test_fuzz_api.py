"""Schemathesis against all four documents: no 5xx, and every answer true to its schema."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.api.documents import DOCUMENTS, FOLDER

if TYPE_CHECKING:
    from tests.api.conftest import Market

HERE = Path(__file__).parent
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "0"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

pytestmark = [pytest.mark.saga, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_the_api_keeps_its_word(market: Market, document: str) -> None:
    sent, seed = 0, SEED
    while not sent or sent < REQUESTS / len(DOCUMENTS):
        code, output = await _run(market, document, seed)
        found = re.search(r"(\d+) generated", output)
        assert code == 0, output[-20_000:]
        assert found, output[-20_000:]
        sent, seed = sent + int(found[1]), seed + 1
    print(f"{document}: {sent} requests, seeds {SEED} to {seed - 1}")  # noqa: T201  for who runs it


async def _run(market: Market, document: str, seed: int) -> tuple[int, str]:
    token = market.token("customer", "staff", "operator", "admin", of="owner")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
        *("--config-file", str(HERE / "schemathesis.toml")),
        *("run", str(FOLDER / f"{document}.json"), "--url", market.url(document)),
        *("--header", f"Authorization: Bearer {token}", "--checks", "all"),
        *("--max-examples", str(EXAMPLES), "--seed", str(seed), "--continue-on-failure"),
        env={
            **os.environ,
            "PYTHONPATH": str(HERE),
            "SCHEMATHESIS_HOOKS": "hooks",
            "FUZZ_THINGS": json.dumps(market.things),
            "FUZZ_CASES": str(seed),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()
