"""User administration: everybody's accounts, for admins."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from common import audit
from common.auth import Admin, Principal
from common.database import Transaction
from common.http import Router
from common.message import uuid7
from common.openapi import refuses
from common.paging import Page, PageQuery, PagesOf
from common.problem import not_found
from fastapi import Query, Response
from pydantic import Field

from order_service import handlers
from order_service.api.account_shapes import User
from order_service.api.bodies import Email, NewUserBody, UserChangesBody
from order_service.api.parts import PartsOf
from order_service.domain.accounts import AccountChanges, Role
from order_service.handlers import AddAccount, ChangeAccount
from order_service.store import accounts as store
from order_service.store.accounts import AccountFilter

router = Router(prefix="/users", tags=["users"])


class UserQuery(PageQuery):
    """Which accounts to list."""

    role: Role | None = None
    active: bool | None = None
    email: Annotated[Email | None, Field(description="this address exactly")] = None


@router.post("", status_code=HTTPStatus.CREATED, responses=refuses(email_taken=409))
async def add_user(body: NewUserBody, admin: Admin, parts: PartsOf, response: Response) -> User:
    """Make an account for somebody, who changes the password afterwards."""
    password_hash = await parts.passwords.hash(body.password)
    command = AddAccount(
        customer_id=uuid7(),
        email=body.email,
        name=body.name,
        language=body.language,
        roles=tuple(sorted(body.roles)),
    )
    async with parts.database.transaction() as tx:
        added = await handlers.add_account(tx, command, password_hash=password_hash)
        await _note(tx, admin, "user add", added.customer_id)
    response.headers["Location"] = f"{parts.prefix}/users/{added.customer_id}"
    return User.of(added)


@router.get("")
async def list_users(
    query: Annotated[UserQuery, Query()], _admin: Admin, pages: PagesOf, parts: PartsOf
) -> Page[User]:
    """List accounts, newest first; those that were erased are gone."""
    after = pages.begin_in_time("users", query)
    wanted = AccountFilter(query.role, query.active, query.email.lower() if query.email else None)
    async with parts.database.transaction() as tx:
        found = await store.list_customers(tx, wanted, after=after, limit=query.limit + 1)
    shown, cursor = pages.cut(
        "users", query, found, lambda user: [user.created_at.isoformat(), str(user.customer_id)]
    )
    return Page(data=[User.of(customer) for customer in shown], next_cursor=cursor)


@router.get("/{user_id}")
async def get_user(user_id: UUID, _admin: Admin, parts: PartsOf) -> User:
    """Show an account."""
    async with parts.database.transaction() as tx:
        found = await store.find_customer(tx, user_id)
    if found is None:
        raise not_found()
    return User.of(found)


@router.patch("/{user_id}", responses=refuses(email_taken=409, invalid_state=409))
async def change_user(user_id: UUID, body: UserChangesBody, admin: Admin, parts: PartsOf) -> User:
    """Change an account, its roles, its password, or whether its owner may log in.

    Another password, or `active: false`, ends every session. The last active admin stays one.
    """
    password_hash = await parts.passwords.hash(body.password) if body.password else None
    command = ChangeAccount(user_id, body.changes(), password_hash)
    async with parts.database.transaction() as tx:
        changed = await handlers.change_account(tx, command)
        await _note(tx, admin, "user change", user_id)
    return User.of(changed)


@router.patch("/{user_id}/activate")
async def activate_user(user_id: UUID, admin: Admin, parts: PartsOf) -> User:
    """Let somebody log in again; it may be repeated."""
    command = ChangeAccount(user_id, AccountChanges(active=True))
    async with parts.database.transaction() as tx:
        changed = await handlers.change_account(tx, command)
        await _note(tx, admin, "user activate", user_id)
    return User.of(changed)


@router.delete(
    "/{user_id}", status_code=HTTPStatus.NO_CONTENT, responses=refuses(invalid_state=409)
)
async def erase_user(user_id: UUID, admin: Admin, parts: PartsOf) -> Response:
    """Erase somebody: what is known of them goes, here and in every other service.

    Orders stay, and those under way end as they would; nobody is written to about them.
    """
    async with parts.database.transaction() as tx:
        await handlers.erase_account(tx, user_id)
        await _note(tx, admin, "user erase", user_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _note(tx: Transaction, admin: Principal, action: str, user_id: UUID) -> None:
    await audit.write(tx, admin.id, action, target=str(user_id), note=None, before={}, after={})
