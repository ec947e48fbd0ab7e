"""Where the servers of a running stack are: all that a service or a test needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from devstack.processes import Processes


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses of the servers, and the processes behind those that were started here."""

    state: Path
    processes: Processes
    signing_key: Path
    bootstrap: str
    admin_dsn: str
    """A superuser's, of the suite's database."""
    redis_url: str
    smtp_url: str
    mail_dir: Path
    """The sink's mbox is in it; empty when the mail server was given by address."""
    gateway_url: str
    gateway_ledger: Path
    """The simulator's SQLite file; absent when the gateway was given by address without it."""
