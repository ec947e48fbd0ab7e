"""`python -m benchmarks`: measure, check that nothing was lost meanwhile, print the figures."""

import argparse
import asyncio
import os
import sys

from demo.stage import DemoError
from devstack.errors import StackError
from invariants.sources import SourceError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import overload, report, rows
from benchmarks.driver import LoadError
from benchmarks.figures import Values
from benchmarks.rig import Rig, rig

NO_FIGURES = (LoadError, StackError, SourceError, DemoError, TimeoutError, OSError)
"""What can go wrong with a run; anything else is a bug and shows its trace."""
SUITE_ROWS = ("P2", "P8", "P10")
"""Measured by one and the same load."""
USUAL = ("P2", "P3", "P8", "P10", "P14")
"""The others bend the suite's settings or its load, and each has its own make target."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Starts everything with durable settings, measures, and checks every invariant"
        " after each run. The figures go to .local/bench as Markdown and JSON, too.",
        epilog="Run it on a quiet machine: whatever else runs is measured with it."
        " Exit code: 0 measured, 1 a figure missed its aim, 2 no figures.",
    )
    parser.add_argument(
        "row", nargs="*", help=f"of {', '.join(rows.ROWS)}; default: {', '.join(USUAL)}"
    )
    parser.add_argument("--runs", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--orders", type=int, default=5000, help="of one throughput run; default: %(default)s"
    )
    parser.add_argument(
        "--seconds", type=float, default=30, help="of one latency run; default: %(default)s"
    )
    arguments = parser.parse_args()
    arguments.row = [name.upper() for name in arguments.row] or list(USUAL)
    if unknown := [name for name in arguments.row if name not in rows.ROWS]:
        parser.error(f"no row {', '.join(unknown)}: there are {', '.join(rows.ROWS)}")
    if min(arguments.runs, arguments.orders, arguments.seconds) <= 0:
        parser.error("--runs, --orders and --seconds are more than 0")
    return arguments


async def _measure(arguments: argparse.Namespace, progress: Progress) -> None:
    wanted = set(arguments.row)
    task = progress.add_task("starting", total=arguments.runs)
    async with rig() as bench:
        progress.update(task, description="warming up")
        await rows.warm_up(bench)
        for run in range(1, arguments.runs + 1):
            progress.update(task, description=f"run {run}")
            _keep(await _run(bench, arguments, wanted), wanted)
            progress.advance(task)


async def _run(bench: Rig, arguments: argparse.Namespace, wanted: set[str]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    if wanted.intersection(SUITE_ROWS):
        found |= await rows.throughput(bench, arguments.orders)
    if "P3" in wanted:
        found |= await rows.latency(bench, arguments.seconds)
    if "P11" in wanted:
        found |= await rows.twice_too_much(bench, arguments.orders, arguments.seconds)
    if "P14" in wanted:
        found |= await rows.start_and_idle(bench)
    if "P16" in wanted:
        found |= await rows.login_storm(bench, arguments.seconds)
    if "P17" in wanted:
        found |= await rows.live_streams(bench, arguments.seconds)
    return found


def _keep(found: dict[str, Values], wanted: set[str]) -> None:
    for name in wanted:
        rows.ROWS[name].runs.append(found[name])


def main() -> int:
    """Make all runs and answer with the exit code."""
    arguments = _arguments()
    os.environ.setdefault("JWT_EXPIRES_IN", "3600")  # nobody has to log in again meanwhile
    os.environ.setdefault("LOGIN_LIMIT_ACCOUNT", "100000/1m")  # the storm is to get to the hashing
    if arguments.row == [overload.ROW.id]:  # the other rows measure what a user gets
        os.environ.update(overload.UNLIMITED)
    console = Console()
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn())
    failure = ""
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            asyncio.run(_measure(arguments, progress))
    except* NO_FIGURES as errors:
        first = errors.exceptions[0]
        failure = f"error: {first or type(first).__name__}"
    if failure:
        Console(stderr=True, soft_wrap=True).print(failure, style="red", markup=False)
        return 2
    measured = [rows.ROWS[name] for name in arguments.row]
    console.print(report.as_table(measured))
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    console.print(f"written to {report.save(measured, command)}", markup=False)
    missed = [
        f"{row.id} {name}"
        for row in measured
        for name, aim in row.aims.items()
        if not aim.met(row.median(name))
    ]
    if missed:
        console.print(f"aims missed: {', '.join(missed)}", style="red", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
