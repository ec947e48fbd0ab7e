"""Loads the fixtures of tests/support for every member's tests."""

pytest_plugins = (
    "tests.support.stack",
    "tests.support.postgres",
    "tests.support.kafka",
    "tests.support.services",
)
