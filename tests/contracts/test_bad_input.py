"""The table of bad input in docs/reliability.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
TABLE = PAGE.partition("\n## Bad input\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (?!input )(.+) \| (.+) \| (`.+) \|$", TABLE, flags=re.MULTILINE)


def test_the_table_is_read_whole() -> None:
    lines = [line for line in TABLE.splitlines() if line.startswith("| ")]

    assert len(ROWS) == len(lines) - 1
    assert ROWS


@pytest.mark.parametrize("tests", [row[2] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_row_names_tests_that_exist(tests: str) -> None:
    for part in tests.split("; "):
        path, *names = re.findall(r"`([^`]+)`", part)
        source = (ROOT / path).read_text()

        assert names
        for name in names:
            assert re.search(rf"^(async )?def {name}\(", source, flags=re.MULTILINE), name
