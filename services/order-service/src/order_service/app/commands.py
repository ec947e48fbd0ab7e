"""What an operator does at the machine itself, each a process of its own."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from getpass import getpass
from typing import Any

from common import telemetry
from common.database import Database
from common.errors import ConfigurationError
from common.settings import load
from pydantic import ValidationError

from order_service import handlers
from order_service.accounts import Passwords
from order_service.api.bodies import RegisterBody
from order_service.app import NAME, patience_of
from order_service.settings import Settings


def rebuild(arguments: Sequence[str]) -> int:
    """Make every order's row anew from its history; the service may run meanwhile."""
    parser = argparse.ArgumentParser(
        prog="python -m order_service rebuild", description=rebuild.__doc__
    )
    parser.parse_args(arguments)
    return _run(_rebuild)


def make_admin(arguments: Sequence[str]) -> int:
    """Make somebody an admin, with the password that is typed or piped in.

    Makes the account unless there is one; of one that there is, password and roles are set, and
    it is switched on. So the first admin comes to be, and one who is locked out returns.
    """
    parser = argparse.ArgumentParser(
        prog="python -m order_service admin", description=make_admin.__doc__
    )
    parser.add_argument("email")
    email = parser.parse_args(arguments).email
    password = getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        account = RegisterBody(email=email, password=password)
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            sys.stderr.write(f"{wrong['loc'][0]}: {wrong['msg']}\n")
        return 2
    return _run(partial(_make_admin, account))


def _run(work: Callable[[Settings, Database], Coroutine[Any, Any, None]]) -> int:
    """Do what an operator asked for, as a process of its own; answers the exit code."""

    async def with_database(settings: Settings) -> None:
        database = Database(settings, name=NAME)
        try:
            await work(settings, database)
        finally:
            await database.close()

    try:
        settings = load(Settings)
    except ConfigurationError as error:
        sys.stderr.write(f"{NAME}: {error}\n")
        return 2
    telemetry.configure_logging(settings, NAME)
    asyncio.run(with_database(settings))
    return 0


async def _make_admin(account: RegisterBody, _settings: Settings, database: Database) -> None:
    password_hash = await Passwords().hash(account.password)
    async with database.transaction() as tx:
        made = await handlers.make_admin(tx, account.email, password_hash=password_hash)
    telemetry.get_logger().info("admin made", user_id=made.customer_id)


async def _rebuild(settings: Settings, database: Database) -> None:
    rows, last = 0, None
    patience = patience_of(settings)
    while True:
        async with database.transaction() as tx:
            batch = await handlers.rebuild_projection(tx, after=last, patience=patience)
        if not batch:
            break
        rows, last = rows + len(batch), batch[-1]
    telemetry.get_logger().info("projection rebuilt", rows=rows)
