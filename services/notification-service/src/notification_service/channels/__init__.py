"""Ways out: how a text or an event reaches somebody."""
