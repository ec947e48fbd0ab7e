"""One's own account and sessions: register, log in, stay logged in, change, log out, leave."""

from http import HTTPStatus

from common.auth import Principal
from common.database import Transaction
from common.errors import Refusal
from common.http import Router
from common.message import uuid7
from common.openapi import refuses
from fastapi import Request, Response

from order_service import handlers
from order_service.accounts import Session, unauthenticated
from order_service.api.account_shapes import Account, Tokens
from order_service.api.bodies import LoginBody, MyChangesBody, RefreshBody, RegisterBody
from order_service.api.parts import Caller, Parts, PartsOf
from order_service.handlers import AddAccount, ChangeAccount
from order_service.store import accounts as store
from order_service.store.accounts import Credentials

router = Router(prefix="/auth", tags=["accounts"])


@router.post("/register", status_code=HTTPStatus.CREATED, responses=refuses(email_taken=409))
async def register(body: RegisterBody, parts: PartsOf, request: Request) -> Account:
    """Make an account."""
    await parts.throttle.admit_registration(request)
    password_hash = await parts.passwords.hash(body.password)
    command = AddAccount(
        customer_id=uuid7(), email=body.email, name=body.name, language=body.language
    )
    async with parts.database.transaction() as tx:
        customer = await handlers.add_account(tx, command, password_hash=password_hash)
    return Account.of(customer)


@router.post("/login", responses=refuses(unauthenticated=401))
async def log_in(body: LoginBody, parts: PartsOf, request: Request) -> Tokens:
    """Begin a session."""
    await parts.throttle.admit_login(request, body.email)
    async with parts.database.transaction() as tx:
        found = await store.find_credentials(tx, body.email.lower())
    # Between the transactions: hashing takes longer than any of them.
    right = await parts.passwords.check(found, body.password)
    better_hash = await parts.passwords.improve(right, body.password)
    async with parts.database.transaction() as tx:
        if not await store.confirm_credentials(tx, right):
            raise unauthenticated("the account was changed meanwhile; log in again")
        session = await parts.sessions.open(tx, right.customer)
    if better_hash is not None:
        # By itself: two logins that both hold the row shared could not both write it.
        async with parts.database.transaction() as tx:
            await store.improve_password_hash(tx, right, better_hash)
    return _tokens(parts, session)


@router.post("/refresh", responses=refuses(unauthenticated=401))
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
        found = await _stand(tx, caller)
    return Account.of(found.customer)


@router.patch("/me", responses=refuses(forbidden=403, email_taken=409))
async def change_me(
    body: MyChangesBody, caller: Caller, parts: PartsOf, request: Request
) -> Account:
    """Change the caller's own account; another password ends every session, this one too."""
    proven = None
    if body.current_password is not None:
        await parts.throttle.admit_proof(request, caller.id)
        proven = await _prove(parts, caller, body.current_password)
    password_hash = await parts.passwords.hash(body.password) if body.password else None
    command = ChangeAccount(caller.id, body.changes(), password_hash, proven)
    async with parts.database.transaction() as tx:
        await _stand(tx, caller)
        return Account.of(await handlers.change_account(tx, command))


@router.delete("/me", status_code=HTTPStatus.NO_CONTENT, responses=refuses(invalid_state=409))
async def erase_me(caller: Caller, parts: PartsOf) -> Response:
    """Erase the caller's own account: what is known of them goes, in every service.

    Orders stay, and those under way end as they would; nobody is written to about them.
    """
    async with parts.database.transaction() as tx:
        await _stand(tx, caller)
        await handlers.erase_account(tx, caller.id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _stand(tx: Transaction, caller: Principal) -> Credentials:
    """Find the caller's own account, which may have gone since the token was issued."""
    found = await store.get_credentials(tx, caller.id)
    if found is None:
        raise unauthenticated("this account is no more")
    return found


async def _prove(parts: Parts, caller: Principal, password: str) -> Credentials:
    """Ask for more than a token that might be stolen: 403, since they are who they are."""
    async with parts.database.transaction() as tx:
        found = await _stand(tx, caller)
    if not await parts.passwords.match(found, password):
        raise handlers.not_proven()
    return found


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
