"""Loads the fixtures of tests/support for every member's tests, and keeps their logs plain."""

import gc

import structlog

pytest_plugins = (
    "tests.support.stack",
    "tests.support.postgres",
    "tests.support.kafka",
    "tests.support.services",
    "tests.support.operator",
)

# structlog's default draws every local of a traceback: a test of failures would take minutes.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)

# What is imported stays: to look through it again and again is a third of the start.
gc.disable()


def pytest_collection_finish() -> None:
    """Leave out what is imported from now on too."""
    gc.freeze()
    gc.enable()
