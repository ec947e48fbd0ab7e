"""docs/security.md is true as far as a test can tell: each control has a row, each proof exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = dict(re.findall(r"^\| (S\d+) \|(.*)\|$", PAGE, flags=re.MULTILINE))
STATES = ("holds", "partly: ", "not yet")


def test_every_control_has_one_row() -> None:
    assert list(ROWS) == [f"S{number}" for number in range(1, 34)]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_says_how_it_stands_and_names_files_that_exist(row: str) -> None:
    _, state, proof = (cell.strip() for cell in row.split("|"))
    files = re.findall(r"`([^`]+)`", proof)

    assert state.startswith(STATES)
    assert files or state.startswith("not yet")
    for name in files:
        assert (ROOT / name).is_file(), name
