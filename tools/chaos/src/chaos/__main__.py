"""`python -m chaos`: break the running suite in every way it must survive, and count what broke."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from demo.stage import DemoError
from devstack.errors import StackError
from invariants.sources import SourceError
from rich.console import Console
from rich.markup import escape

from chaos.fault import Row
from chaos.matrix import MATRIX
from chaos.report import Result, as_markdown, as_table, line
from chaos.run import Watch, run
from chaos.schedule import USUAL_MINUTES, Planned, plan, seconds
from chaos.town import ChaosError

NO_VERDICT = 2
"""Exit code of a run that could not be made: neither "holds" nor "broken"."""
NO_RUN = (ChaosError, DemoError, StackError, SourceError, asyncpg.PostgresError, OSError)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Starts the whole suite with a proxy on every link, has customers order and"
        " cancel at a steady rate, and breaks one thing after the other. After each row of the"
        " fault matrix everything must settle, and every invariant must hold.",
        epilog="Exit code: 0 nothing was lost, 1 something was (the stack's folder is kept for an"
        " hour), 2 the run could not be made. The same seed breaks the same things in the same"
        " order.",
    )
    parser.add_argument("--seed", type=int, help="default: a new one, which is told")
    parser.add_argument(
        "--minutes",
        type=float,
        default=USUAL_MINUTES,
        help="about how long; more brings every fault more often (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="a few minutes: the most telling rows")
    parser.add_argument("--only", type=_rows, default=MATRIX, metavar="F7,F10", help="these rows")
    parser.add_argument("--rate", type=float, default=12.0, help="orders a second (%(default)g)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--list", action="store_true", help="print the plan and break nothing")
    return parser.parse_args()


def _rows(text: str) -> tuple[Row, ...]:
    wanted = {name.strip().upper() for name in text.split(",")}
    known = {row.id for row in MATRIX}
    if unknown := wanted - known:
        message = f"no row {', '.join(sorted(unknown))}; there are {', '.join(known)}"
        raise argparse.ArgumentTypeError(message)
    return tuple(row for row in MATRIX if row.id in wanted)


def _show_plan(console: Console, planned: Sequence[Planned]) -> None:
    for each in planned:
        console.print(f"[bold]{each.row.id:<4}[/]{escape(each.row.title)}, {each.seconds:.0f} s")
        for injection in each.injections:
            console.print(f"      {injection.fault} {injection.target}, {injection.seconds:g} s")
    injections = sum(len(each.injections) for each in planned)
    console.print(f"{injections} injections in about {seconds(planned) / 60:.0f} minutes")


def _caption(arguments: argparse.Namespace, seed: int, took: float) -> str:
    only = "" if arguments.only is MATRIX else f" --only {','.join(r.id for r in arguments.only)}"
    length = "--quick" if arguments.quick else f"--minutes {arguments.minutes:g}"
    command = f"python -m chaos --seed {seed} {length} --rate {arguments.rate:g}{only}"
    return f"`{command}` took {took / 60:.0f} minutes."


def _run(console: Console, arguments: argparse.Namespace, seed: int) -> int:
    planned = plan(arguments.only, seed=seed, minutes=arguments.minutes, quick=arguments.quick)
    if arguments.list:
        _show_plan(console, planned)
        return 0
    began = time.monotonic()
    console.print(f"seed {seed}, about {seconds(planned) / 60:.0f} minutes")
    with console.status("") as status:
        watch = Watch(
            step=lambda text: status.update(escape(text)),
            done=lambda result: console.print(line(result), soft_wrap=True),
        )
        results = asyncio.run(run(planned, seed=seed, rate=arguments.rate, watch=watch))
    return _conclude(
        console, arguments, results, _caption(arguments, seed, time.monotonic() - began)
    )


def _conclude(
    console: Console, arguments: argparse.Namespace, results: Sequence[Result], caption: str
) -> int:
    console.print(as_table(results, caption))
    if arguments.markdown:
        arguments.markdown.write_text(as_markdown(results, caption))
    return 1 if any(result.violations for result in results) else 0


def main() -> int:
    """Make one run and answer with the exit code."""
    arguments = _arguments()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    exit_code = NO_VERDICT
    try:
        exit_code = _run(Console(), arguments, seed)
    except* NO_RUN as errors:
        first = errors.exceptions[0]
        text = f"error: {first or type(first).__name__}"
        Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
