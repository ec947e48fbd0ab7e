-- The least that can be made durable: pgbench's transactions/s of this are the disk's and the server's own limit.
INSERT INTO ceiling.commits (payload) VALUES (repeat('x', 200));
