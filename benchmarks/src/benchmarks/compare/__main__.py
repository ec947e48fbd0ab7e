"""`python -m benchmarks.compare`: Pedido and its peers on one machine, in turn, and the ratios."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from devstack.stack import Stack
from rich.console import Console

from benchmarks.__main__ import NO_FIGURES
from benchmarks.compare import bench, environment, ours, table
from benchmarks.compare.command import arguments
from benchmarks.compare.environment import NotInstalled
from benchmarks.compare.peers import Peer
from benchmarks.compare.table import Line
from benchmarks.figures import Values
from benchmarks.rig import Rig, rig

OURS = "pedido"
OUR_ORDERS = 10_000
OUR_SHARE = 10
"""Pedido gets so many times the orders that peers are given, lest its run be over too soon."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be measured, and on what."""

    wanted: argparse.Namespace
    lines: dict[str, Line]
    console: Console

    async def make(self) -> None:
        """Measure all, round by round; what fails once is said, and left out from then on."""
        await _install(self.lines, self.console)
        async with _stage(alone=self.wanted.alone) as (stack, pedido):
            for number in range(1, self.wanted.runs + 1):
                for line in self.lines.values():
                    if not line.failure:
                        self.console.print(f"run {number}: {line.title}", highlight=False)
                        await self._take(line, stack, pedido)

    async def _take(self, line: Line, stack: Stack, pedido: Rig | None) -> None:
        try:
            values = await self._run(line, stack, pedido)
        except (*NO_FIGURES, NotInstalled) as error:
            line.failure = str(error) or type(error).__name__
            self.console.print(f"  no figure: {line.failure}", style="red", markup=False)
            return
        line.runs.append(values)
        told = ", ".join(f"{figure} {value:.1f}" for figure, value in values.items())
        self.console.print(f"  {told}", highlight=False)

    async def _run(self, line: Line, stack: Stack, pedido: Rig | None) -> Values:
        load = (self.wanted.rate, self.wanted.seconds)
        if pedido and line.name == OURS:
            orders = self.wanted.orders * OUR_SHARE if self.wanted.orders else OUR_ORDERS
            return await ours.measure(pedido, orders, *load)
        peer: Peer = next(peer for peer in self.wanted.peers if peer.name == line.name)
        if peer.needs_node:
            await environment.install_node()
        return await bench.measure(stack, peer, peer.orders, *load)


async def _install(lines: dict[str, Line], console: Console) -> None:
    console.print("installing the peers' packages")
    try:
        await environment.install()
    except NotInstalled as error:
        for name, line in lines.items():
            if name != OURS:
                line.failure = str(error)
        console.print(f"  {error}", style="red", markup=False)


@asynccontextmanager
async def _stage(*, alone: bool) -> AsyncIterator[tuple[Stack, Rig | None]]:
    if alone:
        async with Stack.start() as stack:
            yield stack, None
        return
    async with rig({}) as pedido:
        await pedido.services.stop()
        yield pedido.stack, pedido


def line_of(peer: Peer) -> Line:
    """Start a peer's line with what it runs."""
    pinned = environment.versions(peer.packages)
    packages = ", ".join(f"{name} {version}" for name, version in pinned.items())
    settings = f"{peer.processes} processes of {peer.concurrency} at once"
    about = f"{packages}; {settings} ({peer.tried})"
    return Line(peer.name, peer.title, about, peer.aim)


def main() -> int:
    """Compare and answer with the exit code."""
    wanted = arguments(sys.argv[1:])
    console = Console(soft_wrap=True)
    mine = Line(OURS, "Pedido")
    lines = {} if wanted.alone else {OURS: mine}
    lines |= {peer.name: line_of(peer) for peer in wanted.peers}
    failure = ""
    try:
        asyncio.run(Comparison(wanted, lines, console).make())
    except* NO_FIGURES as errors:
        first = errors.exceptions[0]
        failure = f"error: {first or type(first).__name__}"
    if failure:
        console.print(failure, style="red", markup=False)
        return 2
    return _tell(list(lines.values()), mine, console)


def _tell(lines: list[Line], mine: Line, console: Console) -> int:
    console.print(table.as_table(lines, mine))
    command = " ".join(["python -m benchmarks.compare", *sys.argv[1:]])
    console.print(f"written to {table.save(lines, mine, command)}", markup=False)
    short = [line.title for line in lines if line.failure or not line.far_enough(mine)]
    if short:
        console.print(f"no figure, or not as far as aimed: {', '.join(short)}", style="red")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
