"""Runs the simulator: `python -m devstack.simulator --port 8004 --ledger gateway.sqlite`."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from devstack.ports import LOCALHOST
from devstack.simulator.app import Front
from devstack.simulator.ledger import Ledger
from devstack.simulator.server import serve
from devstack.topology import GATEWAY_KEY


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m devstack.simulator", description=__doc__)
    parser.add_argument("--host", default=LOCALHOST)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True, help="SQLite file, made if missing")
    parser.add_argument("--key", default=GATEWAY_KEY, help="the API key that callers show")
    given = parser.parse_args()
    ledger = Ledger(given.ledger)
    try:
        uvloop.run(serve(Front(ledger, given.key).handle, host=given.host, port=given.port))
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
