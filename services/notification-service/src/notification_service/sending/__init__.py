"""Sends what is due, outside any transaction."""
