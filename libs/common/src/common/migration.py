"""The messaging tables as DDL, and the body of every service's Alembic env.py."""

from __future__ import annotations

import asyncio
import os

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, TIMESTAMP, UUID

from common import ops_tables
from common.inbox import INBOX_DAYS
from common.schema import engine_for

_TABLES = """
CREATE TABLE {schema}.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_outbox PRIMARY KEY,
    event_id uuid NOT NULL,
    shard smallint NOT NULL,
    topic text NOT NULL,
    aggregatetype text NOT NULL,
    aggregateid bytea,
    type text NOT NULL,
    payload bytea,
    header_names bytea[] NOT NULL,
    header_values bytea[] NOT NULL,
    refused text,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH ({vacuum});
CREATE INDEX ix_outbox_refused ON {schema}.outbox (id) WHERE refused IS NOT NULL;

CREATE TABLE {schema}.inbox (
    event_id uuid NOT NULL CONSTRAINT pk_inbox PRIMARY KEY,
    key bytea,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    seq bigint NOT NULL,
    digest bytea NOT NULL,
    origin text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (event_id);

CREATE SEQUENCE {schema}.inbox_seq;

CREATE TABLE {schema}.parked (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_parked PRIMARY KEY,
    seq bigint NOT NULL,
    key bytea,
    event_id uuid,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    header_names bytea[] NOT NULL,
    header_values bytea[] NOT NULL,
    payload bytea,
    digest bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    state_version bigint,
    state text NOT NULL
        CONSTRAINT ck_parked_state CHECK (state IN ('retry', 'dead', 'skipped', 'discarded')),
    attempt integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    error_class text NOT NULL,
    error text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    failed_at timestamptz NOT NULL DEFAULT now()
) WITH ({vacuum});
CREATE UNIQUE INDEX uq_parked_event_id ON {schema}.parked (event_id)
    WHERE event_id IS NOT NULL AND state_version IS NULL;
CREATE UNIQUE INDEX uq_parked_record ON {schema}.parked (topic, partition, "offset", digest);
CREATE UNIQUE INDEX uq_parked_state ON {schema}.parked (topic, key)
    WHERE state_version IS NOT NULL;
CREATE INDEX ix_parked_blocking ON {schema}.parked (key, seq)
    WHERE state IN ('retry', 'dead') AND state_version IS NULL;
CREATE INDEX ix_parked_due ON {schema}.parked (next_at) WHERE state = 'retry';

CREATE TABLE {schema}.positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    CONSTRAINT pk_positions PRIMARY KEY (topic, partition)
);

CREATE TABLE {schema}.consumer_halts (
    consumer text NOT NULL CONSTRAINT pk_consumer_halts PRIMARY KEY,
    reason text NOT NULL,
    halted_at timestamptz NOT NULL DEFAULT now()
);
"""

_VACUUM = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, "
    "autovacuum_vacuum_cost_delay = 0"
)
"""These tables stay short and are rewritten all day: what is dead is dead weight for each poll."""

_PARTITIONS = """
CREATE OR REPLACE FUNCTION {schema}.ensure_inbox_partitions() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $body$
DECLARE
    day date;
    part text;
BEGIN
    -- One instance at a time; the others find the work done.
    IF NOT pg_try_advisory_xact_lock(hashtext('{schema}.inbox')) THEN RETURN; END IF;
    -- Claims queue behind a lock that waits, say for a dump to end.
    PERFORM set_config('lock_timeout', '100ms', true);
    FOR day IN SELECT generate_series(current_date - {days}, current_date + 2, '1 day')::date LOOP
        part := 'inbox_' || to_char(day, 'YYYYMMDD');
        IF to_regclass('{schema}.' || part) IS NULL THEN
            -- To attach a table needs no lock that keeps claims or a dump out; PARTITION OF does.
            EXECUTE format(
                'CREATE TABLE {schema}.%I (LIKE {schema}.inbox INCLUDING DEFAULTS) WITH ({vacuum})',
                part);
            EXECUTE format(
                'ALTER TABLE {schema}.inbox ATTACH PARTITION {schema}.%I '
                'FOR VALUES FROM (%L) TO (%L)',
                part, {schema}.uuid7_floor(day), {schema}.uuid7_floor(day + 1));
        END IF;
    END LOOP;
    BEGIN
        FOR part IN SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                     WHERE inhparent = '{schema}.inbox'::regclass
                       AND relname < 'inbox_' || to_char(current_date - {days}, 'YYYYMMDD') LOOP
            EXECUTE format('DROP TABLE {schema}.%I', part);
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        RAISE WARNING 'inbox partitions past retention wait until nobody holds them';
    END;
END
$body$
"""

_GRANTS = """
REVOKE ALL ON FUNCTION {schema}.ensure_inbox_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.ensure_inbox_partitions() TO {schema}_app;
SELECT {schema}.ensure_inbox_partitions();
"""

_UUID7_FLOOR = """
CREATE FUNCTION {schema}.uuid7_floor(day date) RETURNS uuid
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $body$
    SELECT (lpad(to_hex((extract(epoch FROM (day::timestamp AT TIME ZONE 'UTC')) * 1000)::bigint),
                 12, '0') || repeat('0', 20))::uuid
$body$
"""


_ASIDE = {
    "ix_parked_replayable": (["seq", "id"], "state IN ('dead', 'skipped')"),
    "ix_parked_aside": (["next_at"], "state IN ('skipped', 'discarded')"),
}


def create_messaging_tables(schema: str) -> None:
    """Create what every consumer and relay keeps, in the migration that calls it."""
    words = {"schema": schema, "vacuum": _VACUUM, "days": INBOX_DAYS}
    for statement in (*_TABLES.split(";\n"), _UUID7_FLOOR, _PARTITIONS, *_GRANTS.split(";\n")):
        if statement.strip():
            op.execute(statement.format(**words))


def replace_inbox_upkeep(schema: str) -> None:
    """Give a schema of an earlier version the function of this one."""
    op.execute(_PARTITIONS.format(schema=schema, vacuum=_VACUUM, days=INBOX_DAYS))


def index_what_is_set_aside(schema: str) -> None:
    """Index what replay jobs page through, and what is to be forgotten; retries touch neither."""
    for name, (columns, where) in _ASIDE.items():
        op.create_index(name, "parked", columns, schema=schema, postgresql_where=sa.text(where))


def drop_indexes_of_what_is_set_aside(schema: str) -> None:
    """Drop these again."""
    for name in _ASIDE:
        op.drop_index(name, "parked", schema=schema)


def drop_messaging_tables(schema: str) -> None:
    """Drop them again, with their functions."""
    op.execute(f"DROP FUNCTION {schema}.ensure_inbox_partitions()")
    for table in ("consumer_halts", "positions", "parked", "inbox", "outbox"):
        op.execute(f"DROP TABLE {schema}.{table}")
    op.execute(f"DROP SEQUENCE {schema}.inbox_seq")
    op.execute(f"DROP FUNCTION {schema}.uuid7_floor(date)")


def messaging_tables(metadata: sa.MetaData) -> None:
    """Describe the same tables to SQLAlchemy, so that the drift check knows them."""
    moment = TIMESTAMP(timezone=True)
    now = sa.text("now()")
    sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("event_id", UUID, nullable=False),
        sa.Column("shard", sa.SmallInteger, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("aggregatetype", sa.Text, nullable=False),
        sa.Column("aggregateid", BYTEA),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("payload", BYTEA),
        sa.Column("header_names", ARRAY(BYTEA), nullable=False),
        sa.Column("header_values", ARRAY(BYTEA), nullable=False),
        sa.Column("refused", sa.Text),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Index("ix_outbox_refused", "id", postgresql_where=sa.text("refused IS NOT NULL")),
    )
    sa.Table(
        "inbox",
        metadata,
        sa.Column("event_id", UUID, primary_key=True),
        *_record_columns(),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", BYTEA, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("taken_at", moment, nullable=False, server_default=now),
        postgresql_partition_by="RANGE (event_id)",
    )
    sa.Table(
        "parked",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("event_id", UUID),
        *_record_columns(),
        sa.Column("header_names", ARRAY(BYTEA), nullable=False),
        sa.Column("header_values", ARRAY(BYTEA), nullable=False),
        sa.Column("payload", BYTEA),
        sa.Column("digest", BYTEA, nullable=False),
        sa.Column("recorded_at", moment, nullable=False),
        sa.Column("state_version", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("next_at", moment, nullable=False, server_default=now),
        sa.Column("error_class", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("parked_at", moment, nullable=False, server_default=now),
        sa.Column("failed_at", moment, nullable=False, server_default=now),
        sa.Column("replays", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.CheckConstraint("state IN ('retry', 'dead', 'skipped', 'discarded')", name="state"),
        *_parked_indexes(),
    )
    sa.Table(
        "positions",
        metadata,
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
    sa.Table(
        "consumer_halts",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("halted_at", moment, nullable=False, server_default=now),
        sa.Column("paused_by", UUID),
    )
    ops_tables.describe(metadata)


def _record_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("key", BYTEA),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    ]


def _parked_indexes() -> list[sa.Index]:
    blocking = sa.text("state IN ('retry', 'dead') AND state_version IS NULL")
    event = sa.text("event_id IS NOT NULL AND state_version IS NULL")
    state = sa.text("state_version IS NOT NULL")
    record = ("topic", "partition", "offset", "digest")
    return [
        sa.Index("uq_parked_event_id", "event_id", unique=True, postgresql_where=event),
        sa.Index("uq_parked_record", *record, unique=True),
        sa.Index("uq_parked_state", "topic", "key", unique=True, postgresql_where=state),
        sa.Index("ix_parked_blocking", "key", "seq", postgresql_where=blocking),
        sa.Index("ix_parked_due", "next_at", postgresql_where=sa.text("state = 'retry'")),
        *(
            sa.Index(name, *columns, postgresql_where=sa.text(where))
            for name, (columns, where) in _ASIDE.items()
        ),
    ]


def run_env(metadata: sa.MetaData) -> None:
    """Run migrations as the schema's owner; the version table lives in that schema too."""
    schema = str(metadata.schema)
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection, metadata, schema)
        return

    async def with_own_engine() -> None:
        engine = engine_for(os.environ["DATABASE_OWNER_URL"])
        async with engine.begin() as own:
            await own.run_sync(_migrate, metadata, schema)
        await engine.dispose()

    asyncio.run(with_own_engine())


def _migrate(connection: sa.Connection, metadata: sa.MetaData, schema: str) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=schema,
        include_schemas=True,
        include_name=lambda name, type_, _: type_ != "schema" or name == schema,
        include_object=_is_ours,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _is_ours(_item: object, name: str | None, type_: str, reflected: bool, _: object) -> bool:  # noqa: FBT001  Alembic's signature
    """Leave the inbox's daily partitions and Alembic's own table out of the comparison."""
    return not (
        type_ == "table" and reflected and str(name).startswith(("inbox_", "alembic_version"))
    )
