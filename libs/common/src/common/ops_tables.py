"""What the operator's API keeps, as DDL: who did what, replay jobs, breakers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP, UUID

_TABLES = """
ALTER TABLE {schema}.parked ADD COLUMN replays integer NOT NULL DEFAULT 0;
ALTER TABLE {schema}.consumer_halts ADD COLUMN paused_by uuid;

CREATE TABLE {schema}.ops_audit (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_ops_audit PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    principal uuid NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    note text,
    before jsonb NOT NULL,
    after jsonb NOT NULL,
    correlation_id text
);
REVOKE UPDATE, DELETE ON {schema}.ops_audit FROM {schema}_app;

CREATE TABLE {schema}.replay_jobs (
    job_id uuid NOT NULL CONSTRAINT pk_replay_jobs PRIMARY KEY,
    created_by uuid NOT NULL,
    idempotency_key text NOT NULL,
    fingerprint bytea NOT NULL,
    answer bytea NOT NULL,
    state text NOT NULL
        CONSTRAINT ck_replay_jobs_state CHECK (state IN ('RUNNING', 'DONE', 'CANCELLED')),
    filter jsonb NOT NULL,
    rate double precision NOT NULL,
    max integer NOT NULL,
    note text,
    up_to bigint NOT NULL,
    after_seq bigint NOT NULL DEFAULT -1,
    after_id bigint NOT NULL DEFAULT 0,
    matched bigint NOT NULL,
    replayed bigint NOT NULL DEFAULT 0,
    left_out bigint NOT NULL DEFAULT 0,
    left_out_ids bigint[] NOT NULL DEFAULT '{{}}',
    next_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX uq_replay_jobs_created_by_idempotency_key
    ON {schema}.replay_jobs (created_by, idempotency_key);
CREATE INDEX ix_replay_jobs_due ON {schema}.replay_jobs (next_at) WHERE state = 'RUNNING';

CREATE TABLE {schema}.breakers (
    name text NOT NULL,
    instance text NOT NULL,
    state text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_breakers PRIMARY KEY (name, instance)
);
"""


def create(schema: str) -> None:
    """Create what the operator's API keeps, in the migration that calls it."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement.format(schema=schema))


def drop(schema: str) -> None:
    """Drop it again."""
    for table in ("breakers", "replay_jobs", "ops_audit"):
        op.execute(f"DROP TABLE {schema}.{table}")
    op.execute(f"ALTER TABLE {schema}.consumer_halts DROP COLUMN paused_by")
    op.execute(f"ALTER TABLE {schema}.parked DROP COLUMN replays")


def describe(metadata: sa.MetaData) -> None:
    """Describe the same tables to SQLAlchemy, so that the drift check knows them."""
    moment = TIMESTAMP(timezone=True)
    now = sa.text("now()")
    zero = sa.text("0")
    sa.Table(
        "ops_audit",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("at", moment, nullable=False, server_default=now),
        sa.Column("principal", UUID, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("before", JSONB, nullable=False),
        sa.Column("after", JSONB, nullable=False),
        sa.Column("correlation_id", sa.Text),
    )
    sa.Table(
        "replay_jobs",
        metadata,
        sa.Column("job_id", UUID, primary_key=True),
        sa.Column("created_by", UUID, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("fingerprint", BYTEA, nullable=False),
        sa.Column("answer", BYTEA, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("filter", JSONB, nullable=False),
        sa.Column("rate", sa.Double, nullable=False),
        sa.Column("max", sa.Integer, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("up_to", sa.BigInteger, nullable=False),
        sa.Column("after_seq", sa.BigInteger, nullable=False, server_default=sa.text("-1")),
        sa.Column("after_id", sa.BigInteger, nullable=False, server_default=zero),
        sa.Column("matched", sa.BigInteger, nullable=False),
        sa.Column("replayed", sa.BigInteger, nullable=False, server_default=zero),
        sa.Column("left_out", sa.BigInteger, nullable=False, server_default=zero),
        sa.Column(
            "left_out_ids", ARRAY(sa.BigInteger), nullable=False, server_default=sa.text("'{}'")
        ),
        sa.Column("next_at", moment, nullable=False, server_default=now),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("finished_at", moment),
        sa.CheckConstraint("state IN ('RUNNING', 'DONE', 'CANCELLED')", name="state"),
        sa.Index(
            "uq_replay_jobs_created_by_idempotency_key",
            "created_by",
            "idempotency_key",
            unique=True,
        ),
        sa.Index("ix_replay_jobs_due", "next_at", postgresql_where=sa.text("state = 'RUNNING'")),
    )
    sa.Table(
        "breakers",
        metadata,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("since", moment, nullable=False, server_default=now),
        sa.Column("seen_at", moment, nullable=False, server_default=now),
    )
