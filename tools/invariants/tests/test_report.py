import io
import json
from pathlib import Path

import pytest
from invariants.report import Finding, Report
from invariants.sources import SourceError, Sources, environment
from invariants.table import as_table
from rich.console import Console

HOLDS = Finding.of("I1", "all are settled", checked="3 orders", violations=[])
BROKEN = Finding.of(
    "I2",
    "nothing is lost",
    checked="1 SKU",
    violations=[f"[LAMP] {number}" for number in range(7)],
    notes=["", "a note"],
)


def test_a_report_holds_if_every_finding_does() -> None:
    assert Report((HOLDS,), 1.0, {}).holds
    assert not Report((HOLDS, BROKEN), 1.0, {}).holds


def test_a_finding_counts_all_and_shows_a_few() -> None:
    assert (BROKEN.violations, len(BROKEN.examples), BROKEN.notes) == (7, 5, ("a note",))


def test_a_report_is_read_by_programs() -> None:
    report = json.loads(json.dumps(Report((HOLDS, BROKEN), 1.0, {"orders.v1": 3}).as_json()))

    assert report["holds"] is False
    assert [finding["holds"] for finding in report["findings"]] == [True, False]
    assert report["records"] == {"orders.v1": 3}


def test_a_report_is_read_by_people() -> None:
    console = Console(file=io.StringIO(), width=120)

    console.print(as_table(Report((HOLDS, BROKEN), 1.0, {})))

    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for words in ("7 broken", "[LAMP] 0", "2 more", "broken: I2"):
        assert words in shown


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "GATEWAY_LEDGER", "MAIL_DIR"]
)
def test_an_address_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    given = dict.fromkeys(("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"), "somewhere")
    given |= dict.fromkeys(("GATEWAY_LEDGER", "MAIL_DIR"), str(tmp_path))
    del given[name]

    with pytest.raises(SourceError, match=name):
        Sources.from_environment(given)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "x",
        "KAFKA_BOOTSTRAP_SERVERS": "y",
        "GATEWAY_LEDGER": str(tmp_path),
        "MAIL_DIR": str(tmp_path / "none"),
    }

    with pytest.raises(SourceError, match="which does not exist"):
        Sources.from_environment(given)


def test_the_processs_environment_wins_over_the_stacks_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "stack.env"
    file.write_text("DATABASE_URL='in the file'\nMAIL_DIR=/mail\n")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("MAIL_DIR", "/elsewhere")

    given = environment(file)

    assert (given["DATABASE_URL"], given["MAIL_DIR"]) == ("in the file", "/elsewhere")
