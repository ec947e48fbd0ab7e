-- What every peer keeps, one database a run: the same tables, keys and checks for all of them.
CREATE TABLE orders (
    order_id text PRIMARY KEY,
    email text NOT NULL,
    skus text[] NOT NULL,
    quantities int[] NOT NULL,
    amount int NOT NULL,
    status text NOT NULL DEFAULT 'PENDING',
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz
);
CREATE TABLE stock (
    sku text PRIMARY KEY,
    available bigint NOT NULL CHECK (available >= 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0)
);
CREATE TABLE reservations (order_id text PRIMARY KEY, released boolean NOT NULL DEFAULT false);
CREATE TABLE payments (order_id text PRIMARY KEY, intent text NOT NULL);
