"""`python -m demo`: replay real orders, wait until all is settled, say whether all of it held."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
from common.errors import ConfigurationError
from devstack.errors import StackError
from invariants.checker import DEADLINE, check
from invariants.report import Report
from invariants.rest import Moving
from invariants.sources import SourceError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo import stage, tables
from demo.deciding import Deciding
from demo.invoices import invoices, read_rows
from demo.plan import Plan, plan
from demo.replay import IN_FLIGHT, Replay, let_in
from demo.shop import Shop
from demo.stage import DemoError, Suite
from demo.stocking import headers_as, stock_shop
from demo.summary import read_facts

NO_VERDICT = 2
"""Exit code of a run that could not be made: neither "holds" nor "broken"."""

NO_RUN = (
    DemoError,
    StackError,
    SourceError,
    ConfigurationError,
    asyncpg.PostgresError,
    OSError,
)
"""What can be wrong with the surroundings; anything else is a bug and shows its trace."""

PATIENCE_PER_ORDER = timedelta(milliseconds=50)
"""Beside I1's own limit: a run that was accepted faster than it can settle takes its time."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Replays real invoices through the public API as their customers would place"
        " them, waits until every order is settled, and checks that nothing was lost.",
        epilog="Runs on the services that ORDER_URL names or that `make dev` has started; else it"
        " starts everything and stops it again. Exit code: 0 all invariants hold, 1 one is broken,"
        " 2 the run could not be made.",
    )
    parser.add_argument("--orders", type=_positive(int), default=500, help="default: %(default)s")
    parser.add_argument(
        "--rate",
        type=_positive(float, or_zero=True),
        default=0.0,
        metavar="N",
        help="orders a second; 0, the default, is as fast as they are accepted",
    )
    return parser.parse_args()


def _positive(kind: Callable[[str], float], *, or_zero: bool = False) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if value < 0 or (value == 0 and not or_zero):
            message = f"{text} is not {'0 or more' if or_zero else 'more than 0'}"
            raise argparse.ArgumentTypeError(message)
        return value

    return number


async def _demo(arguments: argparse.Namespace, console: Console) -> Report:
    orders: int = arguments.orders
    made = plan(invoices(read_rows()), orders)
    if len(made.orders) < orders:
        message = f"the data has {len(made.orders):,} orders, so --orders can't be {orders:,}"
        raise DemoError(message)
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress,
    ):
        async with stage.suite(Path(folder) / "answers.jsonl", console.print) as suite:
            return await _run(suite, made, arguments.rate, progress)


async def _run(suite: Suite, made: Plan, rate: float, progress: Progress) -> Report:
    await _stock(suite, made, progress)
    async with Shop(suite.order_url, connections=IN_FLIGHT) as shop, asyncio.TaskGroup() as tasks:
        replay = await _replay(suite, shop, made, progress)
        deciding = tasks.create_task(Deciding.of(suite, replay, made).run())
        outcome = await replay.play(made, rate=rate)
        await replay.give_back(made.refunds, headers_as("staff", suite))
        report = await _verdict(suite, len(outcome.placed), progress)
        deciding.cancel()
    facts = await read_facts(suite.sources, list(outcome.placed.values()))
    progress.stop()
    tables.show(progress.console, plan=made, outcome=outcome, facts=facts, report=report)
    return report


async def _stock(suite: Suite, made: Plan, progress: Progress) -> None:
    stocking = progress.add_task("catalogue", total=len(made.catalogue))
    await stock_shop(suite, made.catalogue, lambda seen: progress.update(stocking, completed=seen))


async def _replay(suite: Suite, shop: Shop, made: Plan, progress: Progress) -> Replay:
    entering = progress.add_task("customers", total=len(made.accounts))
    customers = await let_in(shop, made.accounts, lambda: progress.advance(entering))
    placing = progress.add_task("orders", total=len(made.steps) + len(made.refunds))
    return Replay(
        shop, customers, uuid4().hex[:8], suite.client_log, lambda: progress.advance(placing)
    )


async def _verdict(suite: Suite, orders: int, progress: Progress) -> Report:
    settling = progress.add_task("settling", total=orders)

    def show(moving: Moving) -> None:
        progress.update(settling, completed=moving.settled, total=moving.orders)

    deadline = DEADLINE + orders * PATIENCE_PER_ORDER
    return await check(suite.sources, deadline=deadline, progress=show)


def main() -> int:
    """Make one run and answer with the exit code."""
    arguments = _arguments()
    console = Console()
    exit_code = NO_VERDICT
    try:
        report = asyncio.run(_demo(arguments, console))
        exit_code = 0 if report.holds else 1
    except* NO_RUN as errors:
        first = errors.exceptions[0]
        text = f"error: {first or type(first).__name__}"
        Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
