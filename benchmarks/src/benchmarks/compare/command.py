"""The command line of the comparison."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.compare.peers import PEERS, Peer


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line; an impossible one ends the program with 2."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description="Has the same orders processed by Pedido and by programs on other packages,"
        " in turn, on the same servers; checks after each run that nothing was lost or doubled.",
        epilog="Run it on a quiet machine. Exit code: 0 compared, 1 a peer gave no figure or a"
        " ratio missed its aim, 2 nothing could be measured.",
    )
    parser.add_argument("--only", help=f"of {','.join(PEERS)}; default: all")
    parser.add_argument("--runs", type=int, default=2, help="of each; default: %(default)s")
    parser.add_argument("--orders", type=int, help="of a peer's run; default: 10 s or so of each")
    parser.add_argument("--events", type=int, help="of a relay's run; default: 10 s or so of each")
    parser.add_argument("--rate", type=float, default=20, help="orders/s for p50 and p99")
    parser.add_argument("--seconds", type=float, default=10, help="at that rate")
    parser.add_argument("--processes", type=int, help="of each peer, instead of trying its own")
    parser.add_argument("--concurrency", type=int, help="in each process; with --processes")
    parser.add_argument("--alone", action="store_true", help="without Pedido, to try settings")
    wanted = parser.parse_args(given)
    names = wanted.only.split(",") if wanted.only else list(PEERS)
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"no peer {', '.join(unknown)}: there are {', '.join(PEERS)}")
    numbers = ("runs", "orders", "events", "rate", "seconds", "processes", "concurrency")
    if any((value := getattr(wanted, name)) is not None and value <= 0 for name in numbers):
        parser.error("every number is more than 0")
    if (wanted.processes is None) != (wanted.concurrency is None):
        parser.error("--processes and --concurrency belong together")
    wanted.peers = [_tuned(PEERS[name], wanted) for name in names]
    return wanted


def _tuned(peer: Peer, wanted: argparse.Namespace) -> Peer:
    if size := {"order": wanted.orders, "event": wanted.events}[peer.unit]:
        peer = replace(peer, size=size)
    if wanted.processes:
        first = replace(
            peer.settings[0], processes=wanted.processes, concurrency=wanted.concurrency
        )
        peer = replace(peer, settings=(first,))
    return peer
