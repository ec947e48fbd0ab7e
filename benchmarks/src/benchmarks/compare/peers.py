"""Who is compared: what each peer runs, with the settings that were the best of those tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.topology import LOCAL, ROOT

PROGRAMS = ROOT / "benchmarks" / "peers"
ENVIRONMENT = LOCAL / "peers"
PYTHON = ENVIRONMENT / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to process orders that somebody would choose instead."""

    name: str
    title: str
    packages: Sequence[str]
    """Whose versions are printed."""
    program: str
    """A file beside the other peers'; it knows `setup`, `work` and `submit`."""
    servers: Sequence[str]
    """Which of the stack's servers are part of its price."""
    orders: int
    """Of one run, so that it lasts 15 s or more."""
    processes: int
    concurrency: int
    tried: str
    """Which settings these two were chosen from."""
    aim: float
    """How many times as many orders a second Pedido is to complete."""
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
            orders=1200,
            processes=2,
            concurrency=3,
            tried="",
            aim=12,
        ),
        Peer(
            name="dbos",
            title="DBOS, a durable workflow an order",
            packages=("dbos", "psycopg", "sqlalchemy"),
            program="dbos_workflow.py",
            servers=("postgres",),
            orders=1000,
            processes=2,
            concurrency=16,
            tried="",
            aim=12,
        ),
        Peer(
            name="celery",
            title="Celery on Valkey, acknowledged late",
            packages=("celery", "kombu", "redis", "psycopg"),
            program="celery_task.py",
            servers=("postgres", "valkey"),
            orders=2500,
            processes=1,
            concurrency=4,
            tried="",
            aim=12,
            before=(),
        ),
        Peer(
            name="procrastinate",
            title="Procrastinate, a job an order",
            packages=("procrastinate", "psycopg"),
            program="procrastinate_job.py",
            servers=("postgres",),
            orders=2000,
            processes=2,
            concurrency=10,
            tried="",
            aim=12,
        ),
        Peer(
            name="restate",
            title="Restate, a durable workflow an order",
            packages=("restate-sdk", "hypercorn", "asyncpg"),
            program="restate_workflow.py",
            servers=("postgres",),
            orders=1800,
            processes=1,
            concurrency=2,
            tried="",
            aim=8,
            before=(),
            beside=("server",),
            after=("register",),
            needs_node=True,
        ),
    )
}
