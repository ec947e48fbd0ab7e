from uuid import UUID

import pytest
from common.message import uuid7

from tests.support.mailroom import Mailroom

pytestmark = pytest.mark.postgres


async def the_notice(mailroom: Mailroom, order_id: UUID) -> str:
    answer = await mailroom.ask("GET", f"/notifications?orderId={order_id}")
    return str(answer.json()["data"][0]["notificationId"])


async def test_staff_see_what_a_customer_was_told(mailroom: Mailroom) -> None:
    customer_id = await mailroom.know()
    order_id = await mailroom.owe(customer_id)
    await mailroom.owe(await mailroom.know(), "rejected")

    answer = await mailroom.ask("GET", f"/notifications?orderId={order_id}")

    assert answer.status_code == 200
    (notice,) = answer.json()["data"]
    assert notice.pop("createdAt").endswith("Z")
    assert UUID(notice.pop("notificationId")).version == 7
    assert notice == {
        "orderId": str(order_id),
        "customerId": str(customer_id),
        "kind": "confirmed",
        "subject": "",
        "channel": "email",
        "status": "PENDING",
        "attempts": 0,
        "reason": None,
        "settledAt": None,
    }


async def test_an_order_that_nobody_was_told_of_has_an_empty_list(mailroom: Mailroom) -> None:
    answer = await mailroom.ask("GET", f"/notifications?orderId={uuid7()}")

    assert answer.json() == {"data": [], "nextCursor": None}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 4),
        ("?status=PENDING", 3),
        ("?status=SENT", 1),
        ("?kind=shipped", 1),
        ("?kind=shipped&status=SENT", 0),
    ],
)
async def test_staff_filter_the_list(mailroom: Mailroom, query: str, found: int) -> None:
    customer_id = await mailroom.know()
    await mailroom.owe(customer_id, "confirmed", "shipped")
    await mailroom.owe(customer_id, "cancelled")
    await mailroom.settle(await mailroom.owe(customer_id, "refunded"))

    answer = await mailroom.ask("GET", f"/notifications{query}")

    assert len(answer.json()["data"]) == found


async def test_the_list_comes_in_pages_newest_first(mailroom: Mailroom) -> None:
    customer_id = await mailroom.know()
    orders = [str(await mailroom.owe(customer_id)) for _ in range(5)]

    seen, path = [], f"/notifications?customerId={customer_id}&limit=2"
    while True:
        page = (await mailroom.ask("GET", path)).json()
        seen += [notice["orderId"] for notice in page["data"]]
        if page["nextCursor"] is None:
            break
        path = f"/notifications?customerId={customer_id}&limit=2&cursor={page['nextCursor']}"

    assert seen == orders[::-1]


async def test_a_customer_sees_their_own_notices_and_no_address(mailroom: Mailroom) -> None:
    ada, bob = await mailroom.know(), await mailroom.know("bob@example.com")
    mine, other = await mailroom.owe(ada), await mailroom.owe(bob)

    listed = await mailroom.ask("GET", "/notifications", role="customer", caller=ada)
    theirs = await mailroom.ask(
        "GET", f"/notifications?orderId={other}", role="customer", caller=ada
    )

    assert [notice["orderId"] for notice in listed.json()["data"]] == [str(mine)]
    assert theirs.json()["data"] == []
    assert "@" not in listed.text


async def test_a_customer_may_not_ask_for_anothers(mailroom: Mailroom) -> None:
    answer = await mailroom.ask("GET", f"/notifications?customerId={uuid7()}", role="customer")

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_anothers_notice_is_as_absent_as_none(mailroom: Mailroom) -> None:
    notice_id = await the_notice(mailroom, await mailroom.owe(await mailroom.know()))

    others = await mailroom.ask("GET", f"/notifications/{notice_id}", role="customer")
    absent = await mailroom.ask("GET", f"/notifications/{uuid7()}", role="customer")

    assert others.status_code == absent.status_code == 404
    assert others.json()["detail"] == absent.json()["detail"]


async def test_a_notice_shows_every_attempt(mailroom: Mailroom) -> None:
    ada = await mailroom.know()
    notice_id = await the_notice(mailroom, await mailroom.owe(ada))
    await mailroom.run(
        "INSERT INTO attempts (notice_id, outcome, code)"
        " VALUES ($1, 'put_off', 'smtp_451'), ($1, 'delivered', NULL)",
        UUID(notice_id),
    )

    answer = await mailroom.ask("GET", f"/notifications/{notice_id}", role="customer", caller=ada)

    log = answer.json()["log"]
    assert [(each["outcome"], each["code"]) for each in log] == [
        ("put_off", "smtp_451"),
        ("delivered", None),
    ]


@pytest.mark.parametrize("status", ["SENT", "FAILED", "SUPPRESSED"])
async def test_what_is_sent_again_is_due_under_its_old_message_id(
    mailroom: Mailroom, status: str
) -> None:
    order_id = await mailroom.owe(await mailroom.know())
    await mailroom.settle(order_id, status)
    notice_id = await the_notice(mailroom, order_id)

    answer = await mailroom.ask("POST", f"/notifications/{notice_id}/resend")

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/notifications/{notice_id}"
    assert (answer.json()["status"], answer.json()["attempts"]) == ("PENDING", 0)
    assert await mailroom.rows("SELECT message_id FROM notifications") == [
        (f"<{order_id}.confirmed.-@pedido>",)
    ]
    assert await mailroom.rows("SELECT action, target, before::text FROM ops_audit") == [
        ("resend-notification", notice_id, f'{{"{status}": 1}}')
    ]


async def test_what_is_just_being_sent_is_left_alone(mailroom: Mailroom) -> None:
    order_id = await mailroom.owe(await mailroom.know())
    await mailroom.run(
        "UPDATE notifications SET lease_token = $1, due_at = now() + interval '1 minute'", uuid7()
    )
    notice_id = await the_notice(mailroom, order_id)

    answer = await mailroom.ask("POST", f"/notifications/{notice_id}/resend")

    assert answer.status_code == 202
    assert await mailroom.rows("SELECT due_at > now() FROM notifications") == [(True,)]


async def test_what_waits_for_its_next_attempt_is_due_at_once(mailroom: Mailroom) -> None:
    order_id = await mailroom.owe(await mailroom.know())
    await mailroom.run("UPDATE notifications SET due_at = now() + interval '1 day'")
    notice_id = await the_notice(mailroom, order_id)

    await mailroom.ask("POST", f"/notifications/{notice_id}/resend")

    assert await mailroom.rows("SELECT due_at <= now() FROM notifications") == [(True,)]


ROUTES = [
    ("GET", "/notifications", {"customer", "operator", "staff", "admin"}),
    ("GET", "/preferences", {"customer", "operator", "staff", "admin"}),
    ("GET", f"/notifications/{uuid7()}", {"customer", "operator", "staff", "admin"}),
    ("POST", f"/notifications/{uuid7()}/resend", {"staff", "admin"}),
    ("GET", "/templates", {"staff", "admin"}),
    ("POST", "/templates/confirmed/preview", {"staff", "admin"}),
    ("GET", "/suppressions", {"staff", "admin"}),
    ("DELETE", f"/suppressions/{'0f' * 32}", {"staff", "admin"}),
]


@pytest.mark.parametrize(("method", "path", "admitted"), ROUTES)
async def test_only_who_may_gets_in(
    mailroom: Mailroom, method: str, path: str, admitted: set[str]
) -> None:
    for role in (None, "customer", "operator", "staff", "admin"):
        body = {} if path.endswith("preview") else None

        answer = await mailroom.ask(method, path, body, role=role)

        if role is None:
            assert answer.status_code == 401
        else:
            assert (answer.status_code != 403) == (role in admitted), role


@pytest.mark.parametrize(
    "query",
    [
        "?orderId=",
        "?orderId=1",
        "?email=ada@example.com",
        "?status=sent",
        "?kind=spam",
        "?limit=0",
        "?limit=101",
        "?cursor=ada@example.com",
        "?customerId=%00",
    ],
)
async def test_a_filter_that_is_not_understood_is_refused(mailroom: Mailroom, query: str) -> None:
    answer = await mailroom.ask("GET", f"/notifications{query}")

    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_failed"
    assert "ada@example.com" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/notifications/1"),
        ("GET", "/notifications/%00"),
        ("POST", "/notifications/1/resend"),
        ("POST", "/templates/spam/preview"),
        ("DELETE", "/suppressions/ada@example.com"),
        ("DELETE", f"/suppressions/{'0F' * 32}"),
        ("GET", "/suppressions?customerId=1"),
    ],
)
async def test_an_id_that_can_not_be_one_is_refused(
    mailroom: Mailroom, method: str, path: str
) -> None:
    answer = await mailroom.ask(method, path, {} if path.endswith("preview") else None)

    assert answer.status_code == 422
