"""The service's tables and every SQL statement."""
