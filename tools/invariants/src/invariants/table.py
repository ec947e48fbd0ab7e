"""The report for people: one row an invariant, examples under what is broken."""

from rich.markup import escape
from rich.table import Table

from invariants.report import Finding, Report


def as_table(report: Report) -> Table:
    """Lay the report out, the verdict in the caption."""
    table = Table(title="Invariants", caption=_verdict(report), title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column("must hold")
    table.add_column("checked")
    table.add_column("found", no_wrap=True)
    for finding in report.findings:
        table.add_row(finding.id, _claim(finding), escape(finding.checked), _found(finding))
    return table


def _claim(finding: Finding) -> str:
    lines = [escape(finding.claim)]
    lines += [f"[dim]{escape(note)}[/]" for note in finding.notes]
    lines += [f"[red]{escape(example)}[/]" for example in finding.examples]
    if finding.violations > len(finding.examples):
        lines.append(f"[red]… {finding.violations - len(finding.examples):,} more[/]")
    return "\n".join(lines)


def _found(finding: Finding) -> str:
    return "[green]holds[/]" if finding.holds else f"[bold red]{finding.violations:,} broken[/]"


def _verdict(report: Report) -> str:
    broken = [finding.id for finding in report.findings if not finding.holds]
    verdict = f"[bold red]broken: {', '.join(broken)}[/]" if broken else "[green]all hold[/]"
    return f"{verdict}, checked in {report.seconds:.1f} s"
