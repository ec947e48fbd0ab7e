"""`python -m benchmarks`: measure, check that nothing was lost meanwhile, print the figures."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import groupby

from demo.stage import DemoError
from devstack.errors import StackError
from invariants.sources import SourceError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import arguments, judge, keeping, report
from benchmarks.arguments import Wanted
from benchmarks.driver import Driver, LoadError
from benchmarks.keeping import Circumstances
from benchmarks.measurement import Measurement
from benchmarks.rig import Rig, rig

NO_FIGURES = (LoadError, StackError, SourceError, DemoError, TimeoutError, OSError)
"""What can go wrong with a run; anything else is a bug and shows its trace."""
WARM_UP = 1000
"""Orders that let every connection, cache and plan be there before anything is counted."""
COMMAND = " ".join(["python -m benchmarks", *sys.argv[1:]])


async def _measure(wanted: Wanted, progress: Progress) -> None:
    """Measure what needs the same settings on one stack."""
    missing = [
        each for each in wanted.measurements if _kept(wanted, each).runs < wanted.runs_of(each)
    ]
    ordered = sorted(missing, key=lambda each: sorted(each.settings.items()))
    for settings, group in groupby(ordered, key=lambda each: each.settings):
        starting = progress.add_task("starting", total=None)
        async with rig(settings) as bench:
            async with Driver(bench) as driver:
                await driver.burst(WARM_UP)
            await judge.settle(bench)
            progress.remove_task(starting)
            for measurement in group:
                await _make_runs(bench, measurement, wanted, progress)


async def _make_runs(
    bench: Rig, measurement: Measurement, wanted: Wanted, progress: Progress
) -> None:
    size, runs = wanted.size_of(measurement), wanted.runs_of(measurement)
    kept = _kept(wanted, measurement)
    for run in range(kept.runs + 1, runs + 1):
        lasts = measurement.lasts(size)
        words = f"{measurement.name}, run {run} of {runs}, usually {lasts:.0f} s"
        async with _ticking(progress, progress.add_task(words, total=lasts)):
            found = await measurement.run(bench, size)
            await judge.settle(bench)
            await judge.verify(bench)
        kept.add(found)
        kept.save()


def _kept(wanted: Wanted, measurement: Measurement) -> keeping.Kept:
    now = Circumstances.now(measurement, wanted.size_of(measurement))
    return keeping.begin(measurement, now, command=COMMAND, resume=wanted.resume)


@asynccontextmanager
async def _ticking(progress: Progress, task: TaskID) -> AsyncIterator[None]:
    """Move a bar with the clock: what is measured must not be disturbed to ask how far it is."""
    began = time.monotonic()

    async def tick() -> None:
        while True:
            progress.update(task, completed=time.monotonic() - began)
            await asyncio.sleep(1)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
    progress.update(task, completed=time.monotonic() - began, total=time.monotonic() - began)


def main() -> int:
    """Make all runs and answer with the exit code."""
    wanted = arguments.parse()
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    failure = ""
    try:
        with Progress(*columns, console=console) as progress:
            if not wanted.report:
                asyncio.run(_measure(wanted, progress))
    except* NO_FIGURES as errors:
        first = errors.exceptions[0]
        failure = f"error: {first or type(first).__name__}"
    if failure:
        Console(stderr=True, soft_wrap=True).print(failure, style="red", markup=False)
        return 2
    return _show(console, wanted)


def _show(console: Console, wanted: Wanted) -> int:
    """Print what was asked for, and write all that is kept."""
    found = (keeping.find(each.name) for each in wanted.measurements)
    rows = [row for kept in found if kept for row in kept.rows if row.row.id in wanted.ids]
    console.print(report.as_table(rows))
    console.print(f"written to {report.save()}", markup=False)
    missed = [f"{row.row.id} {name}" for row in rows for name in row.missed]
    if missed:
        console.print(f"aims missed: {', '.join(missed)}", style="red", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
