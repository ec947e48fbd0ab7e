"""Accounts and sessions: register, log in, stay logged in, log out."""

from http import HTTPStatus

from common.auth import Principal
from common.errors import Refusal
from common.http import Router
from common.message import uuid7
from fastapi import Request, Response

from order_service import handlers
from order_service.accounts import Session, unauthenticated
from order_service.api.bodies import LoginBody, RefreshBody, RegisterBody
from order_service.api.parts import Caller, Parts, PartsOf
from order_service.api.shapes import Account, Tokens
from order_service.handlers import RegisterCustomer
from order_service.store import accounts as store

router = Router(prefix="/auth", tags=["accounts"])


@router.post("/register", status_code=HTTPStatus.CREATED)
async def register(body: RegisterBody, parts: PartsOf) -> Account:
    """Make an account."""
    password_hash = await parts.passwords.hash(body.password)
    command = RegisterCustomer(
        customer_id=uuid7(), email=body.email, name=body.name, language=body.language
    )
    async with parts.database.transaction() as tx:
        customer = await handlers.register_customer(tx, command, password_hash=password_hash)
    return Account.of(customer)


@router.post("/login")
async def log_in(body: LoginBody, parts: PartsOf) -> Tokens:
    """Begin a session."""
    async with parts.database.transaction() as tx:
        found = await store.find_credentials(tx, body.email.lower())
    # Between the transactions: hashing takes longer than any of them.
    customer, better_hash = await parts.passwords.check(found, body.password)
    async with parts.database.transaction() as tx:
        if better_hash is not None:
            await store.save_password_hash(tx, customer.customer_id, better_hash)
        session = await parts.sessions.open(tx, customer)
    return _tokens(parts, session)


@router.post("/refresh")
async def refresh(body: RefreshBody, parts: PartsOf, request: Request) -> Tokens:
    """Replace a refresh token, which works once, and get a new access token."""
    async with parts.database.transaction() as tx:
        session = await parts.sessions.rotate(tx, body.refresh_token, client=_client(request))
    if isinstance(session, Refusal):
        raise session
    return _tokens(parts, session)


@router.post("/logout", status_code=HTTPStatus.NO_CONTENT)
async def log_out(body: RefreshBody, parts: PartsOf) -> Response:
    """End a session; one that is unknown or over stays so."""
    async with parts.database.transaction() as tx:
        await parts.sessions.close(tx, body.refresh_token)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/me")
async def get_me(caller: Caller, parts: PartsOf) -> Account:
    """Show the caller's own account."""
    async with parts.database.transaction() as tx:
        customer = await store.find_customer(tx, caller.id)
    if customer is None:
        raise unauthenticated("this account is no more")
    return Account.of(customer)


def _tokens(parts: Parts, session: Session) -> Tokens:
    customer = session.customer
    principal = Principal(customer.customer_id, frozenset(customer.roles))
    return Tokens(
        access_token=parts.issuer.issue(principal),
        refresh_token=session.refresh_token,
        expires_in=int(parts.access_token_life.total_seconds()),
    )


def _client(request: Request) -> str:
    """Tell clients apart well enough to know a retry from a thief."""
    address = request.client.host if request.client else ""
    return f"{address}\n{request.headers.get('user-agent', '')}"
