"""The figures of finished runs, kept on disk: what was measured once is not measured again."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devstack.topology import LOCAL

from benchmarks import machine
from benchmarks.figures import Aim, Measured, Row
from benchmarks.measurement import Found, Measurement, Size

FOLDER = LOCAL / "bench"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What has to be the same for two runs to speak of the same thing."""

    commit: str
    machine: Mapping[str, str]
    settings: Mapping[str, str]
    size: Mapping[str, Any]

    @classmethod
    def now(cls, measurement: Measurement, size: Size) -> "Circumstances":
        settings = dict(measurement.settings)
        return cls(machine.commit(), machine.facts(), settings, _as_stored(asdict(size)))


@dataclass(frozen=True, slots=True)
class Kept:
    """All runs of one measurement so far."""

    circumstances: Circumstances
    command: str
    rows: tuple[Measured, ...]
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="minutes"))

    @property
    def name(self) -> str:
        return self.rows[0].row.id

    @property
    def runs(self) -> int:
        return len(self.rows[0].runs)

    def add(self, found: Found) -> None:
        """Add one run."""
        for measured in self.rows:
            measured.runs.append(found[measured.row.id])

    def save(self, folder: Path = FOLDER) -> None:
        """Write the file anew; whoever reads meanwhile sees the old one or the new one."""
        path = _path(folder, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(as_json(self), indent=2, ensure_ascii=False) + "\n")
        part.replace(path)


def begin(
    measurement: Measurement,
    circumstances: Circumstances,
    *,
    command: str,
    resume: bool,
    folder: Path = FOLDER,
) -> Kept:
    """Start with no run, or go on with those that were made in the same circumstances."""
    fresh = Kept(circumstances, command, tuple(Measured(row) for row in measurement.rows))
    before = find(measurement.name, folder) if resume else None
    if before is None or before.circumstances != circumstances:
        return fresh
    for measured, known in zip(fresh.rows, before.rows, strict=True):
        measured.runs.extend(known.runs)
    return fresh


def find(name: str, folder: Path = FOLDER) -> Kept | None:
    """Read what is kept of a measurement, if anything is."""
    path = _path(folder, name)
    return _read(path) if path.is_file() else None


def everything(folder: Path = FOLDER) -> list[Kept]:
    """Read all that is kept, in the order of the table."""
    found = [_read(path) for path in folder.glob("runs/*.json")]
    return sorted(found, key=lambda kept: _place(kept.name))


def as_json(kept: Kept) -> dict[str, Any]:
    """Say it for other programs."""
    return {
        "command": kept.command,
        "date": kept.date,
        **asdict(kept.circumstances),
        "rows": [_row_as_json(measured) for measured in kept.rows],
    }


def _row_as_json(measured: Measured) -> dict[str, Any]:
    row = measured.row
    aims = {name: [aim.bound, aim.at_least] for name, aim in row.aims.items()}
    medians = {name: measured.median(name) for name in measured.names}
    runs = [dict(run) for run in measured.runs]
    return {"id": row.id, "what": row.what, "aims": aims, "median": medians, "runs": runs}


def _read(path: Path) -> Kept:
    stored = json.loads(path.read_text())
    parts = {name: stored[name] for name in Circumstances.__dataclass_fields__}
    rows = tuple(_rows_of(stored["rows"]))
    return Kept(Circumstances(**parts), stored["command"], rows, stored["date"])


def _rows_of(stored: Iterable[Mapping[str, Any]]) -> Iterable[Measured]:
    for row in stored:
        aims = {name: Aim(*aim) for name, aim in row["aims"].items()}
        yield Measured(Row(row["id"], row["what"], aims), list(row["runs"]))


def _path(folder: Path, name: str) -> Path:
    return folder / "runs" / f"{name}.json"


def _place(name: str) -> tuple[bool, int, str]:
    number = name.lstrip("P").rstrip("abc")
    return not number.isdigit(), int(number) if number.isdigit() else 0, name


def _as_stored(value: Mapping[str, Any]) -> dict[str, Any]:
    """Compare with what was read: JSON knows no tuples."""
    loaded: dict[str, Any] = json.loads(json.dumps(value))
    return loaded
