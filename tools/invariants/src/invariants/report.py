"""What the checker found: one finding an invariant, and the verdict over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

EXAMPLES = 5
"""Enough to start looking from; the count says how many there are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at for one invariant, and what broke it."""

    id: str
    claim: str
    checked: str
    violations: int
    examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        invariant: str,
        claim: str,
        *,
        checked: str,
        violations: Sequence[str],
        notes: Sequence[str] = (),
    ) -> "Finding":
        """Keep the count of all violations and the first few as examples."""
        return cls(
            invariant,
            claim,
            checked,
            len(violations),
            tuple(violations[:EXAMPLES]),
            tuple(note for note in notes if note),
        )

    @property
    def holds(self) -> bool:
        return self.violations == 0


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one run."""

    findings: tuple[Finding, ...]
    seconds: float
    records: Mapping[str, int]
    """Topic → how many records it holds."""

    @property
    def holds(self) -> bool:
        return all(finding.holds for finding in self.findings)

    def finding(self, invariant: str) -> Finding:
        return next(finding for finding in self.findings if finding.id == invariant)

    def as_json(self) -> dict[str, object]:
        findings = [asdict(finding) | {"holds": finding.holds} for finding in self.findings]
        return {
            "holds": self.holds,
            "seconds": round(self.seconds, 3),
            "findings": findings,
            "records": dict(self.records),
        }


def counted(number: int, noun: str) -> str:
    """Say 1 order, 2,000 orders."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
