"""`python -m invariants`: check everything, print what was found, exit 0 only if all holds."""

import argparse
import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from invariants.checker import DEADLINE, check
from invariants.digest import digest
from invariants.report import Report
from invariants.rest import Moving
from invariants.sources import SourceError, Sources, environment
from invariants.table import as_table

NOT_CHECKED = 2
"""Exit code when a source is missing: neither "holds" nor "broken"."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m invariants",
        description="Checks that nothing was lost, doubled or oversold.",
        epilog="Reads DATABASE_URL KAFKA_BOOTSTRAP_SERVERS TOPIC_PREFIX GATEWAY_LEDGER MAIL_DIR"
        " CLIENT_LOG from the environment, else from .local/stack.env. TLS and login at the broker"
        " are set as for the services, in the environment alone: KAFKA_SECURITY_PROTOCOL"
        " KAFKA_SASL_* KAFKA_SSL_*.",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=DEADLINE.total_seconds(),
        metavar="SECONDS",
        help="how long to wait for everything to settle (default: %(default)g)",
    )
    parser.add_argument("--client-log", type=Path, help="JSONL of the client's own 202 answers")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--digest",
        action="store_true",
        help="only sum up all state: what is printed before and after a replay must be equal (I12)",
    )
    return parser.parse_args()


async def _check(arguments: argparse.Namespace) -> Report:
    given = environment()
    if arguments.client_log:
        given["CLIENT_LOG"] = str(arguments.client_log)
    sources = Sources.from_environment(given)
    with Progress(
        TextColumn("settling"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("settling", total=None)

        def show(moving: Moving) -> None:
            bar.update(task, completed=moving.settled, total=moving.orders)

        deadline = timedelta(seconds=arguments.deadline)
        return await check(sources, deadline=deadline, progress=show)


def _print_digest(*, json_wanted: bool) -> int:
    found = asyncio.run(digest(Sources.from_environment(environment())))
    if json_wanted:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name} {summed}" for name, summed in found.items()))
    return 0


def main() -> int:
    """Check, print, and answer with the exit code."""
    arguments = _arguments()
    try:
        if arguments.digest:
            return _print_digest(json_wanted=arguments.json)
        report = asyncio.run(_check(arguments))
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_CHECKED
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        Console().print(as_table(report))
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
