-- What one order leaves behind in four services, for pgbench: the same keys and indexes, nothing that fires.
DROP SCHEMA IF EXISTS ceiling CASCADE;
CREATE SCHEMA ceiling;

CREATE TABLE ceiling.commits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payload text NOT NULL
);
CREATE TABLE ceiling.keys (
    customer int,
    key text,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer, key)
);
CREATE TABLE ceiling.orders (
    order_id uuid PRIMARY KEY,
    customer int NOT NULL,
    status text NOT NULL,
    total bigint NOT NULL,
    version int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON ceiling.orders (customer, created_at, order_id);
CREATE TABLE ceiling.order_lines (
    order_id uuid,
    line_no int,
    sku int NOT NULL,
    quantity int NOT NULL,
    unit_price bigint NOT NULL,
    PRIMARY KEY (order_id, line_no)
);
CREATE TABLE ceiling.order_events (
    order_id uuid,
    version int,
    type text NOT NULL,
    data jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, version)
);
CREATE TABLE ceiling.stock (
    sku int PRIMARY KEY,
    available bigint NOT NULL CHECK (available >= 0),
    sold bigint NOT NULL CHECK (sold >= 0)
);
INSERT INTO ceiling.stock SELECT n, 1000000000, 0 FROM generate_series(1, 1000) AS n;
CREATE TABLE ceiling.reservations (order_id uuid PRIMARY KEY, state text NOT NULL);
CREATE TABLE ceiling.payments (order_id uuid PRIMARY KEY, state text NOT NULL, amount bigint NOT NULL);
CREATE TABLE ceiling.notifications (
    order_id uuid,
    kind text,
    status text NOT NULL,
    PRIMARY KEY (order_id, kind)
);
CREATE TABLE ceiling.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX ON ceiling.outbox (key);
