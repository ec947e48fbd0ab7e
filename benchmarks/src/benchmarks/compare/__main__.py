"""`python -m benchmarks.compare`: Pedido and its peers on one machine, in turn, and the ratios."""

import asyncio
import sys

from rich.console import Console

from benchmarks.__main__ import NO_FIGURES
from benchmarks.compare import table
from benchmarks.compare.command import arguments
from benchmarks.compare.comparison import Comparison
from benchmarks.compare.table import Board


def main() -> int:
    """Compare and answer with the exit code."""
    wanted = arguments(sys.argv[1:])
    console = Console(soft_wrap=True)
    comparison = Comparison(wanted, console)
    failure = ""
    try:
        asyncio.run(comparison.make())
    except* NO_FIGURES as errors:
        first = errors.exceptions[0]
        failure = f"error: {first or type(first).__name__}"
    if failure:
        console.print(failure, style="red", markup=False)
        return 2
    return _tell(comparison.boards, console)


def _tell(boards: list[Board], console: Console) -> int:
    for board in boards:
        if board.measured:
            console.print(table.as_table(board))
    command = " ".join(["python -m benchmarks.compare", *sys.argv[1:]])
    console.print(f"written to {table.save(boards, command)}", markup=False)
    short = [
        line.title
        for board in boards
        for line in board.lines
        if line.failure or not board.far_enough(line)
    ]
    if short:
        console.print(f"no figure, or not as far as aimed: {', '.join(short)}", style="red")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
