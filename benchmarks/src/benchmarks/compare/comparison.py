"""Who is measured in which order, with which settings, and what becomes of those who can't be."""

import argparse
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from devstack.stack import Stack
from rich.console import Console

from benchmarks.__main__ import NO_FIGURES
from benchmarks.compare import bench, environment, ours, relays
from benchmarks.compare.environment import NotInstalled
from benchmarks.compare.peers import Peer, Setting
from benchmarks.compare.table import Board, Line
from benchmarks.figures import Values
from benchmarks.rig import Rig, rig

OURS = {"order": 10_000, "event": 200_000}
OUR_SHARE = 10
"""Pedido gets so many times what peers are given, lest its run be over too soon."""
TRIAL_SHARE = 4
"""A setting is tried with a quarter of a run."""
FAILURES = (*NO_FIGURES, NotInstalled)


@dataclass(slots=True)
class Contender:
    """A peer in this comparison."""

    peer: Peer
    line: Line
    setting: Setting


class Comparison:
    """All turns, and the boards that their figures are for: of whole systems, and of relays."""

    def __init__(self, wanted: argparse.Namespace, console: Console) -> None:
        """Plan what the command line asks for."""
        self._wanted = wanted
        self._console = console
        self._peers = [Contender(p, _line_of(p), p.settings[0]) for p in wanted.peers]
        systems = Board("order", Line("pedido", "Pedido"), self._lines("order"))
        carriers = Board("event", Line("relay", "Pedido's relay"), self._lines("event"), "us")
        self.boards = [board for board in (systems, carriers) if board.theirs]

    async def make(self) -> None:
        """Measure all, round by round; what fails once is said, and left out from then on."""
        await self._install()
        async with _stage(alone=self._wanted.alone) as (stack, pedido):
            for contender in self._peers:
                await self._choose(contender, stack)
            for number in range(1, self._wanted.runs + 1):
                for board in self.boards:
                    await self._round(f"run {number}", board, stack, pedido)

    async def _round(self, what: str, board: Board, stack: Stack, pedido: Rig | None) -> None:
        if pedido:
            await self._take(what, board.ours, self._ours(board.unit, pedido))
        for each in self._peers:
            if each.peer.unit == board.unit:
                await self._take(what, each.line, self._run(each, stack))

    async def _choose(self, contender: Contender, stack: Stack) -> None:
        """Try each setting briefly, and keep the fastest."""
        peer, line = contender.peer, contender.line
        speeds: dict[Setting, float] = {}
        for setting in peer.settings if len(peer.settings) > 1 and not line.failure else ():
            trial = Line(peer.name, peer.title)
            size = max(1, peer.size // TRIAL_SHARE)
            run = relays.measure if peer.unit == "event" else bench.attempt
            await self._take(f"trying {setting}", trial, run(stack, peer, setting, size))
            if trial.runs:
                speeds[setting] = next(iter(trial.runs[0].values()))
        if speeds:
            contender.setting = max(speeds, key=lambda setting: speeds[setting])
            tried = ", ".join(f"{setting} {speed:.0f}/s" for setting, speed in speeds.items())
            line.about += f"; processes and what each does at once, tried: {tried}"
        line.about += f"; measured with {contender.setting}"

    async def _run(self, contender: Contender, stack: Stack) -> Values:
        peer, setting, wanted = contender.peer, contender.setting, self._wanted
        if peer.unit == "event":
            return await relays.measure(stack, peer, setting, peer.size)
        load = {"rate": wanted.rate, "seconds": wanted.seconds}
        return await bench.measure(stack, peer, setting, peer.size, **load)

    async def _ours(self, unit: str, pedido: Rig) -> Values:
        wanted = self._wanted
        given = wanted.events if unit == "event" else wanted.orders
        size = given * OUR_SHARE if given else OURS[unit]
        if unit == "event":
            return await relays.ours(pedido.stack, size)
        return await ours.measure(pedido, size, wanted.rate, wanted.seconds)

    def _lines(self, unit: str) -> list[Line]:
        return [contender.line for contender in self._peers if contender.peer.unit == unit]

    async def _take(self, what: str, line: Line, run: Coroutine[Any, Any, Values]) -> None:
        """Make one run and keep what it gave, or why it gave nothing."""
        if line.failure:
            run.close()
            return
        self._console.print(f"{what}: {line.title}", highlight=False, markup=False)
        try:
            found = await run
        except FAILURES as error:
            line.failure = self._fail(error)
            return
        line.runs.append(found)
        told = ", ".join(f"{figure} {value:.2f}" for figure, value in found.items())
        self._console.print(f"  {told}", highlight=False)

    async def _install(self) -> None:
        self._console.print("installing the peers' packages")
        for contender in self._peers:
            try:
                await environment.install()
                if contender.peer.needs_node:
                    await environment.install_node()
            except NotInstalled as error:
                contender.line.failure = self._fail(error)

    def _fail(self, error: Exception) -> str:
        reason = str(error) or type(error).__name__
        self._console.print(f"  no figure: {reason}", style="red", markup=False)
        return reason


@asynccontextmanager
async def _stage(*, alone: bool) -> AsyncIterator[tuple[Stack, Rig | None]]:
    if alone:
        async with Stack.start() as stack:
            yield stack, None
        return
    async with rig({}) as pedido:
        await pedido.services.stop()
        yield pedido.stack, pedido


def _line_of(peer: Peer) -> Line:
    pinned = environment.versions(peer.packages)
    packages = ", ".join(f"{name} {version}" for name, version in pinned.items())
    return Line(peer.name, peer.title, packages, peer.aim)
