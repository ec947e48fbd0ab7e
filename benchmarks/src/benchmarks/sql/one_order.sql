-- What one completed order of two lines writes, in one transaction: no broker, no provider, no second commit.
\set customer random(1, 32)
\set first random(1, 500)
\set second random(501, 1000)
BEGIN;
SELECT gen_random_uuid() AS order_id \gset
INSERT INTO ceiling.keys (customer, key, body) VALUES (:customer, :order_id::uuid::text, convert_to(repeat('x', 200), 'UTF8'));
INSERT INTO ceiling.orders (order_id, customer, status, total, version) VALUES (:order_id::uuid, :customer, 'PENDING', 2500, 1);
INSERT INTO ceiling.order_lines SELECT :order_id::uuid, n, CASE n WHEN 1 THEN :first::int ELSE :second::int END, 1, 1250 FROM generate_series(1, 2) AS n;
INSERT INTO ceiling.order_events SELECT :order_id::uuid, n, 'OrderPlaced', '{"total": {"amount": 2500, "currency": "GBP"}}' FROM generate_series(1, 6) AS n;
SELECT sku, available FROM ceiling.stock WHERE sku IN (:first, :second) ORDER BY sku FOR UPDATE;
UPDATE ceiling.stock SET available = available - 1, sold = sold + 1 WHERE sku IN (:first, :second);
INSERT INTO ceiling.reservations VALUES (:order_id::uuid, 'COMMITTED');
INSERT INTO ceiling.payments VALUES (:order_id::uuid, 'CAPTURED', 2500);
INSERT INTO ceiling.notifications VALUES (:order_id::uuid, 'order-confirmed', 'SENT');
UPDATE ceiling.orders SET status = 'COMPLETED', version = 6 WHERE order_id = :order_id::uuid;
INSERT INTO ceiling.outbox (key, payload) SELECT :order_id::uuid, convert_to(repeat('x', 200), 'UTF8') FROM generate_series(1, 8);
DELETE FROM ceiling.outbox WHERE key = :order_id::uuid;
COMMIT;
