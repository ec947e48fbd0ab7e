"""Runs the simulator: `python -m devstack.simulator --port 8004 --ledger gateway.sqlite`."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from devstack.ports import LOCALHOST
from devstack.simulator.app import create_app
from devstack.simulator.delivery import Cuttable
from devstack.simulator.ledger import Ledger
from devstack.topology import GATEWAY_KEY

_KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections, so that it is the client who closes them."""


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
        uvicorn.run(
            create_app(ledger, given.key),
            host=given.host,
            port=given.port,
            http=Cuttable,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
