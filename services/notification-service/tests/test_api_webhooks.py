import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from common.message import uuid7
from notification_service.domain.happenings import Happening
from notification_service.store import deliveries

from tests.support.mailroom import Mailroom

pytestmark = pytest.mark.postgres

URL = "https://shop.example.com/pedido"
ENDPOINTS = "/webhooks/endpoints"


async def add(mailroom: Mailroom, **body: Any) -> dict[str, Any]:
    answer = await mailroom.ask("POST", ENDPOINTS, {"url": URL, **body})
    assert answer.status_code == 201, answer.text
    added: dict[str, Any] = answer.json()
    return added


async def deliver(mailroom: Mailroom, order_id: UUID | None = None) -> UUID:
    """Have something to tell to every endpoint."""
    order_id = order_id or uuid7()
    now = datetime.now(UTC) + timedelta(seconds=1)
    async with mailroom.database.transaction() as tx:
        await deliveries.add_deliveries(tx, [Happening(order_id, "order.confirmed", now, {})])
    return order_id


async def test_an_endpoint_shows_its_secret_once(mailroom: Mailroom) -> None:
    answer = await mailroom.ask("POST", ENDPOINTS, {"url": URL, "types": ["order.shipped"]})
    added = answer.json()
    path = f"{ENDPOINTS}/{added['endpointId']}"

    shown = await mailroom.ask("GET", path)
    listed = await mailroom.ask("GET", ENDPOINTS)

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1{path}"
    secret = added.pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert shown.json() == added == listed.json()["data"][0]
    assert (added["types"], added["status"]) == (["order.shipped"], "ACTIVE")
    for text in (shown.text, listed.text):
        assert "secret" not in text.lower()


async def test_no_secret_is_stored_readable_or_logged(
    mailroom: Mailroom, capsys: pytest.CaptureFixture[str]
) -> None:
    added = await add(mailroom)
    rotated = await mailroom.ask("POST", f"{ENDPOINTS}/{added['endpointId']}/rotate-secret")
    secrets = [added["secret"], rotated.json()["secret"]]

    stored = str(await mailroom.rows("SELECT * FROM endpoints"))
    audited = str(await mailroom.rows("SELECT * FROM ops_audit"))
    logged = "".join(capsys.readouterr())

    for secret in secrets:
        raw = base64.b64decode(secret.removeprefix("whsec_"))
        for text in (stored, audited, logged):
            assert secret.removeprefix("whsec_") not in text
            assert str(raw)[2:-1] not in text


async def test_a_rotated_secret_is_shown_once_and_says_until_when_the_old_one_signs(
    mailroom: Mailroom,
) -> None:
    added = await add(mailroom)

    answer = await mailroom.ask("POST", f"{ENDPOINTS}/{added['endpointId']}/rotate-secret")

    assert answer.status_code == 200
    assert answer.json()["secret"] != added["secret"]
    until = datetime.fromisoformat(answer.json()["previousUntil"])
    assert timedelta(hours=23) < until - datetime.now(UTC) < timedelta(hours=25)


async def test_an_endpoint_is_changed_and_disabled_and_made_active_again(
    mailroom: Mailroom,
) -> None:
    path = f"{ENDPOINTS}/{(await add(mailroom))['endpointId']}"

    changed = await mailroom.ask("PATCH", path, {"types": ["order.placed"], "description": "ERP"})
    off = await mailroom.ask("PATCH", path, {"status": "DISABLED"})
    on = await mailroom.ask("PATCH", path, {"status": "ACTIVE"})

    assert (changed.json()["types"], changed.json()["description"]) == (["order.placed"], "ERP")
    assert changed.json()["url"] == URL
    assert (off.json()["status"], off.json()["disabledReason"]) == ("DISABLED", "by_hand")
    assert (on.json()["status"], on.json()["disabledReason"]) == ("ACTIVE", None)


async def test_a_removed_endpoint_is_gone_with_its_deliveries(mailroom: Mailroom) -> None:
    path = f"{ENDPOINTS}/{(await add(mailroom))['endpointId']}"
    await deliver(mailroom)
    ((delivery_id,),) = await mailroom.rows("SELECT delivery_id FROM deliveries")

    answers = [await mailroom.ask("DELETE", path) for _ in range(2)]
    afterwards = [
        await mailroom.ask("GET", path),
        await mailroom.ask("PATCH", path, {"status": "ACTIVE"}),
        await mailroom.ask("POST", f"{path}/rotate-secret"),
        await mailroom.ask("GET", f"{path}/deliveries"),
        await mailroom.ask("GET", f"/webhooks/deliveries/{delivery_id}"),
        await mailroom.ask("POST", f"/webhooks/deliveries/{delivery_id}/redeliver"),
    ]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert {answer.status_code for answer in afterwards} == {404}
    assert (await mailroom.ask("GET", ENDPOINTS)).json()["data"] == []


async def test_endpoints_come_in_pages_newest_first(mailroom: Mailroom) -> None:
    added = [(await add(mailroom))["endpointId"] for _ in range(5)]

    first = (await mailroom.ask("GET", f"{ENDPOINTS}?limit=3")).json()
    rest = (await mailroom.ask("GET", f"{ENDPOINTS}?limit=3&cursor={first['nextCursor']}")).json()

    assert [each["endpointId"] for each in first["data"] + rest["data"]] == added[::-1]


async def test_deliveries_are_listed_shown_and_sent_again(mailroom: Mailroom) -> None:
    endpoint_id = (await add(mailroom))["endpointId"]
    orders = [await deliver(mailroom) for _ in range(3)]
    await mailroom.run("UPDATE deliveries SET status = 'FAILED', settled_at = now(), attempt = 9")
    listed = await mailroom.ask("GET", f"{ENDPOINTS}/{endpoint_id}/deliveries")
    one = await mailroom.ask("GET", f"{ENDPOINTS}/{endpoint_id}/deliveries?orderId={orders[0]}")
    delivery_id = one.json()["data"][0]["deliveryId"]
    await mailroom.run(
        "INSERT INTO delivery_attempts (delivery_id, outcome, status_code, latency_ms)"
        " VALUES ($1, 'refused', 500, 42)",
        UUID(delivery_id),
    )

    again = await mailroom.ask("POST", f"/webhooks/deliveries/{delivery_id}/redeliver")
    shown = await mailroom.ask("GET", f"/webhooks/deliveries/{delivery_id}")

    assert [each["orderId"] for each in listed.json()["data"]] == [str(o) for o in orders[::-1]]
    assert again.status_code == 202
    assert again.headers["location"] == f"/api/v1/webhooks/deliveries/{delivery_id}"
    assert (again.json()["status"], again.json()["attempts"]) == ("PENDING", 0)
    (attempt,) = shown.json()["log"]
    assert attempt.pop("at")
    assert attempt == {"outcome": "refused", "statusCode": 500, "latencyMs": 42}
    assert '"type":"order.confirmed"' in shown.json()["payload"]
    pending = await mailroom.ask("GET", f"{ENDPOINTS}/{endpoint_id}/deliveries?status=PENDING")
    assert len(pending.json()["data"]) == 1


async def test_nothing_is_sent_again_to_an_endpoint_that_is_disabled(mailroom: Mailroom) -> None:
    endpoint_id = (await add(mailroom))["endpointId"]
    await deliver(mailroom)
    await mailroom.ask("PATCH", f"{ENDPOINTS}/{endpoint_id}", {"status": "DISABLED"})
    ((delivery_id,),) = await mailroom.rows("SELECT delivery_id FROM deliveries")

    answer = await mailroom.ask("POST", f"/webhooks/deliveries/{delivery_id}/redeliver")

    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")


async def test_there_are_not_more_endpoints_than_can_be_served(mailroom: Mailroom) -> None:
    await mailroom.run(
        "INSERT INTO endpoints (endpoint_id, url, description, types, secret)"
        " SELECT gen_random_uuid(), 'https://a.example', '', '{}', ''"
        " FROM generate_series(1, 50)"
    )

    answer = await mailroom.ask("POST", ENDPOINTS, {"url": URL})
    ((endpoint_id,),) = await mailroom.rows("SELECT endpoint_id FROM endpoints LIMIT 1")
    await mailroom.ask("DELETE", f"{ENDPOINTS}/{endpoint_id}")
    in_its_place = await mailroom.ask("POST", ENDPOINTS, {"url": URL})

    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_state")
    assert in_its_place.status_code == 201


async def test_every_write_is_audited(mailroom: Mailroom) -> None:
    path = f"{ENDPOINTS}/{(await add(mailroom))['endpointId']}"
    await mailroom.ask("PATCH", path, {"description": "ERP"})
    await mailroom.ask("POST", f"{path}/rotate-secret")
    await mailroom.ask("DELETE", path)

    assert await mailroom.rows("SELECT action FROM ops_audit ORDER BY id") == [
        ("add-webhook-endpoint",),
        ("change-webhook-endpoint",),
        ("rotate-webhook-secret",),
        ("remove-webhook-endpoint",),
    ]


async def test_many_rotations_at_once_leave_one_pair_of_secrets(mailroom: Mailroom) -> None:
    path = f"{ENDPOINTS}/{(await add(mailroom))['endpointId']}/rotate-secret"

    answers = await asyncio.gather(*(mailroom.ask("POST", path) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["secret"] for answer in answers}) == 10


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost/",
        "https://user:hunter2@shop.example.com/",
        "https://shop.example.com/#x",
        "file:///etc/passwd",
        "https://",
        "",
        1,
        None,
        "https://shop.example.com/ x",
        "https://shop.example.com/" + "a" * 2048,
    ],
    ids=str,
)
async def test_a_url_that_we_will_not_call_is_refused(mailroom: Mailroom, url: object) -> None:
    path = f"{ENDPOINTS}/{(await add(mailroom))['endpointId']}"

    added = await mailroom.ask("POST", ENDPOINTS, {"url": url})
    changed = await mailroom.ask("PATCH", path, {"url": url})

    for answer in (added, changed):
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"types": ["order.exploded"]},
        {"types": "order.placed"},
        {"types": ["order.placed"] * 13},
        {"description": "a" * 201},
        {"description": "a\u202eb"},
        {"secret": "whsec_chosen"},
        {"status": "GONE"},
        {"createdAt": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)
async def test_an_endpoint_that_makes_no_sense_is_refused(
    mailroom: Mailroom, body: dict[str, object]
) -> None:
    path = f"{ENDPOINTS}/{(await add(mailroom))['endpointId']}"

    added = await mailroom.ask("POST", ENDPOINTS, {"url": URL, **body})
    changed = await mailroom.ask("PATCH", path, body)

    assert [added.status_code, changed.status_code] == [422, 422]


@pytest.mark.parametrize("body", [{}, {"url": None}, {"status": None}, []], ids=str)
async def test_a_change_of_nothing_is_refused(mailroom: Mailroom, body: object) -> None:
    path = f"{ENDPOINTS}/{(await add(mailroom))['endpointId']}"

    assert (await mailroom.ask("PATCH", path, body)).status_code == 422


ROUTES = [
    ("POST", ENDPOINTS, {"url": URL}),
    ("GET", ENDPOINTS, None),
    ("GET", f"{ENDPOINTS}/{uuid7()}", None),
    ("PATCH", f"{ENDPOINTS}/{uuid7()}", {"description": "ERP"}),
    ("DELETE", f"{ENDPOINTS}/{uuid7()}", None),
    ("POST", f"{ENDPOINTS}/{uuid7()}/rotate-secret", None),
    ("GET", f"{ENDPOINTS}/{uuid7()}/deliveries", None),
    ("GET", f"/webhooks/deliveries/{uuid7()}", None),
    ("POST", f"/webhooks/deliveries/{uuid7()}/redeliver", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_only_staff_handles_endpoints(
    mailroom: Mailroom, method: str, path: str, body: object
) -> None:
    statuses = {
        role: (await mailroom.ask(method, path, body, role=role)).status_code
        for role in (None, "customer", "operator", "staff", "admin")
    }

    assert statuses[None] == 401
    assert statuses["customer"] == statuses["operator"] == 403
    assert {statuses["staff"], statuses["admin"]} <= {200, 201, 404}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES[2:])
async def test_what_is_not_there_is_not_found_and_what_is_no_id_is_refused(
    mailroom: Mailroom, method: str, path: str, body: object
) -> None:
    head, _, tail = path.partition("endpoints/" if "endpoints/" in path else "deliveries/")
    middle = "endpoints/" if "endpoints/" in path else "deliveries/"
    _, slash, rest = tail.partition("/")

    absent = await mailroom.ask(method, path, body)
    wrong = await mailroom.ask(method, f"{head}{middle}%00{slash}{rest}", body)

    assert (absent.status_code, wrong.status_code) == (404, 422)
