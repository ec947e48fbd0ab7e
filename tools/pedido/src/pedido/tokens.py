"""Access tokens: by logging in, or on a developer's machine by the stack's own key."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from pydantic import SecretStr

from pedido.api import read, send
from pedido.show import desk_of
from pedido.trouble import NO_CONNECTION, Trouble
from pedido.where import Service


class Role(StrEnum):
    """What its bearer may do."""

    CUSTOMER = "customer"
    STAFF = "staff"
    OPERATOR = "operator"
    ADMIN = "admin"


def token(
    context: typer.Context,
    role: Annotated[Role, typer.Option(help="what its bearer may do")] = Role.OPERATOR,
) -> None:
    """Sign a token with the local stack's own key: for development only."""
    path = Path(desk_of(context).where.get("JWT_PRIVATE_KEY_FILE"))
    try:
        key = SecretStr(path.read_text())
    except OSError:
        raise Trouble(f"{path} can't be read: is the stack running?", NO_CONNECTION) from None
    issuer = TokenIssuer(JwtIssuerSettings(jwt_private_key=key))
    typer.echo(issuer.issue(Principal(uuid7(), frozenset({role.value}))))


def login(
    context: typer.Context,
    email: str,
    password: Annotated[
        str | None, typer.Option(envvar="PEDIDO_PASSWORD", help="asked for if it is not given")
    ] = None,
) -> None:
    """Log in at order-service and print the access token, which lives 15 minutes."""
    where = desk_of(context).where
    # On stderr: stdout is the token, which goes into a variable.
    password = password or typer.prompt("Password", hide_input=True, err=True)
    body = {"email": email, "password": password}
    answer = send("POST", f"{where.url(Service.ORDER)}/api/v1/auth/login", json=body)
    typer.echo(read(answer, "order")["accessToken"])
