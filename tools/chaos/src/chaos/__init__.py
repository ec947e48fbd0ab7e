"""Breaks the running suite in every way it must survive, and counts what was lost."""
