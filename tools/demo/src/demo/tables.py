"""The summary for people."""

from collections.abc import Iterable, Mapping

from invariants.report import Report
from invariants.table import as_table
from rich.console import Console
from rich.table import Table

from demo.plan import Plan
from demo.replay import Outcome
from demo.summary import PERCENTILES, Facts, percentiles


def show(console: Console, *, plan: Plan, outcome: Outcome, facts: Facts, report: Report) -> None:
    """Print all of it, the verdict last."""
    console.print(
        _counts(
            "Orders by final status",
            (
                (f"{status} [dim]{reason}[/]", count)
                for (status, reason), count in facts.statuses.most_common()
            ),
        ),
        _counts("What the data asked for", _asked(plan, outcome)),
        _refunds(facts),
        _times(outcome, facts),
        _counts(
            "E-mails received", [*facts.mails.most_common(), ("[bold]all[/]", facts.mails.total())]
        ),
        _counts("Records by topic", _records(report.records)),
        as_table(report),
        sep="\n\n",
    )


def _counts(title: str, rows: Iterable[tuple[str, int]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    return table


def _asked(plan: Plan, outcome: Outcome) -> Iterable[tuple[str, int]]:
    yield "invoices placed as orders", len(outcome.placed)
    yield from ((f"orders refused: {code}", count) for code, count in outcome.refused.items())
    yield "invoices without a line that can be ordered", plan.empty
    yield from ((f"lines refused: {why}", count) for why, count in plan.refused.most_common())
    yield (
        "payment methods that decline",
        sum(order.payment_method.startswith("pm_declined") for order in plan.orders),
    )
    meant = {
        "whole": "cancellations of one whole order",
        "part": "cancellations of a part, refunded",
        "nothing": "cancellations of nothing that was replayed",
    }
    yield from ((meant[kind], plan.cancellations[kind]) for kind in ("whole", "part", "nothing"))
    yield from ((f"cancel answered: {what}", n) for what, n in outcome.cancelled.most_common())
    yield from ((f"less was offered: {what}", n) for what, n in outcome.decided.most_common())
    yield from ((f"refund answered: {what}", n) for what, n in outcome.refunded.most_common())


def _refunds(facts: Facts) -> Table:
    table = Table(title="Refunds", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    for (state, reason), (count, amounts) in sorted(facts.refunds.items()):
        table.add_row(f"{state} [dim]{reason}[/]", f"{count:,}", amounts)
    return table


def _times(outcome: Outcome, facts: Facts) -> Table:
    table = Table(title="Time", title_justify="left")
    table.add_column("")
    for percent in PERCENTILES:
        table.add_column("max" if percent == max(PERCENTILES) else f"p{percent}", justify="right")
    table.add_row("POST → 202", *_milliseconds(outcome.seconds))
    table.add_row("POST → CONFIRMED", *_milliseconds(facts.to_confirmed))
    accepted = len(outcome.placed) / outcome.took if outcome.took else 0.0
    settled = len(outcome.placed) / facts.seconds if facts.seconds else 0.0
    table.caption = f"{accepted:,.0f} orders/s accepted, {settled:,.0f} orders/s settled"
    return table


def _milliseconds(seconds: Iterable[float]) -> list[str]:
    found = percentiles(seconds)
    return [f"{found[percent] * 1000:,.0f} ms" if found else "-" for percent in PERCENTILES]


def _records(records: Mapping[str, int]) -> list[tuple[str, int]]:
    events = [pair for pair in records.items() if not pair[0].endswith(".dlt")]
    dead = sum(count for topic, count in records.items() if topic.endswith(".dlt"))
    return [*events, ("[bold]dead letters[/]", dead)]
