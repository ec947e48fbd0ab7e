"""Tables and every SQL statement; nothing here decides."""
