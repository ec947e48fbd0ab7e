"""Who is compared, and the settings from which each one's best is chosen in every comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.topology import LOCAL, ROOT
from typing_extensions import override

PROGRAMS = ROOT / "benchmarks" / "peers"
ENVIRONMENT = LOCAL / "peers"
PYTHON = ENVIRONMENT / "bin" / "python"

RELAYED_BY = ("postgres", "kafka")


@dataclass(frozen=True, slots=True)
class Setting:
    """How a peer uses the machine."""

    processes: int
    concurrency: int
    """Of each process; what that means is the peer's own affair."""
    variant: str = ""
    """A kind of worker, where a peer has several."""

    @property
    def is_one_by_one(self) -> bool:
        return self.processes == self.concurrency == 1

    @override
    def __str__(self) -> str:
        kind = f" ({self.variant})" if self.variant else ""
        return f"{self.processes} × {self.concurrency}{kind}"  # noqa: RUF001  times


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to process orders that somebody would choose instead."""

    name: str
    title: str
    packages: Sequence[str]
    """Whose versions are printed."""
    program: str
    """A file beside the other peers'; it knows `work`, `submit`, and what is named below."""
    servers: Sequence[str]
    """Which of the stack's servers are part of its price."""
    size: int
    """Orders or events of one run, so that it lasts about ten seconds or more."""
    settings: Sequence[Setting]
    """What its documentation allows and a machine of two cores suggests: the best is taken."""
    aim: float | None
    """How many times as fast Pedido is to be; None only tells the ratio."""
    unit: str = "order"
    """What it makes so many of a second: orders, or, as a mere relay, events."""
    keeps_order: bool = True
    """Whether a relay promises the order of a key in every setting, or only one by one."""
    before: Sequence[str] = ("setup",)
    """What its program does before its workers start."""
    beside: Sequence[str] = ()
    """What of its program runs beside the workers, and counts as theirs."""
    after: Sequence[str] = ()
    """What its program does when the workers run."""
    needs_node: bool = False

    @property
    def path(self) -> Path:
        return PROGRAMS / self.program


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            name="faststream",
            title="FastStream on Kafka, a transaction a message",
            packages=("faststream", "aiokafka", "sqlalchemy", "asyncpg"),
            program="faststream_kafka.py",
            servers=("postgres", "kafka"),
            size=1500,
            settings=(Setting(1, 4), Setting(1, 12), Setting(2, 4)),
            aim=12,
        ),
        Peer(
            name="dbos",
            title="DBOS, a durable workflow an order",
            packages=("dbos", "psycopg", "sqlalchemy"),
            program="dbos_workflow.py",
            servers=("postgres",),
            size=900,
            settings=(Setting(1, 16), Setting(2, 16), Setting(2, 40)),
            aim=12,
        ),
        Peer(
            name="celery",
            title="Celery on Valkey, acknowledged late",
            packages=("celery", "kombu", "redis", "psycopg"),
            program="celery_task.py",
            servers=("postgres", "valkey"),
            size=2500,
            settings=(Setting(1, 4, "prefork"), Setting(1, 8, "threads"), Setting(1, 20, "gevent")),
            aim=12,
            before=(),
            beside=("beat",),
        ),
        Peer(
            name="procrastinate",
            title="Procrastinate, a job an order",
            packages=("procrastinate", "psycopg"),
            program="procrastinate_job.py",
            servers=("postgres",),
            size=2500,
            settings=(Setting(1, 20), Setting(2, 4), Setting(2, 10)),
            aim=12,
        ),
        Peer(
            name="restate",
            title="Restate, a durable workflow an order",
            packages=("restate-sdk", "hypercorn", "asyncpg"),
            program="restate_workflow.py",
            servers=("postgres",),
            size=2000,
            settings=(Setting(1, 1), Setting(1, 2), Setting(1, 3)),
            aim=8,
            before=(),
            beside=("server",),
            after=("register",),
            needs_node=True,
        ),
        Peer(
            name="faststream-outbox",
            title="faststream-outbox, a call a row",
            packages=("faststream-outbox", "faststream", "aiokafka", "sqlalchemy", "asyncpg"),
            program="faststream_outbox_relay.py",
            servers=RELAYED_BY,
            size=90_000,
            settings=(Setting(1, 1), Setting(1, 32), Setting(2, 16)),
            aim=None,
            unit="event",
            keeps_order=False,
        ),
        Peer(
            name="txoutbox",
            title="txoutbox, keys in parallel",
            packages=("txoutbox", "aiokafka", "asyncpg"),
            program="txoutbox_relay.py",
            servers=RELAYED_BY,
            size=200_000,
            settings=(Setting(1, 100), Setting(1, 250), Setting(2, 100)),
            aim=None,
            unit="event",
        ),
    )
}
