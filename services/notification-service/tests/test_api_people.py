"""Preferences, templates and suppressed addresses over HTTP."""

import asyncio

import pytest
from common.message import uuid7
from notification_service.domain.addresses import Digests

from tests.support.mailroom import Mailroom

pytestmark = pytest.mark.postgres

ALL = {
    "welcome": True,
    "shipped": True,
    "decide": True,
    "confirmed": True,
    "rejected": True,
    "expired": True,
    "cancelled": True,
    "refunded": True,
    "reversed": True,
}


async def test_who_chose_nothing_is_told_everything(mailroom: Mailroom) -> None:
    answer = await mailroom.ask("GET", "/preferences", role="customer")

    assert answer.json() == {"language": None, "email": ALL}


async def test_a_customer_turns_off_what_they_can_do_without(mailroom: Mailroom) -> None:
    ada = uuid7()
    chosen = {"language": "es", "email": {"shipped": False}}

    put = await mailroom.ask("PUT", "/preferences", chosen, role="customer", caller=ada)
    got = await mailroom.ask("GET", "/preferences", role="customer", caller=ada)
    others = await mailroom.ask("GET", "/preferences", role="customer")

    assert put.json() == got.json() == {"language": "es", "email": ALL | {"shipped": False}}
    assert others.json() == {"language": None, "email": ALL}


async def test_what_is_put_replaces_all_that_was_chosen(mailroom: Mailroom) -> None:
    ada = uuid7()
    first = {"language": "es", "email": {"shipped": False, "welcome": False}}
    await mailroom.ask("PUT", "/preferences", first, role="customer", caller=ada)

    answer = await mailroom.ask("PUT", "/preferences", {}, role="customer", caller=ada)

    assert answer.json() == {"language": None, "email": ALL}


@pytest.mark.parametrize("kind", sorted(set(ALL) - {"welcome", "shipped"}))
async def test_what_the_law_wants_told_can_not_be_turned_off(mailroom: Mailroom, kind: str) -> None:
    answer = await mailroom.ask("PUT", "/preferences", {"email": {kind: False}}, role="customer")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/email/{kind}"


@pytest.mark.parametrize(
    "body",
    [
        {"language": "fr"},
        {"language": 1},
        {"email": {"spam": True}},
        {"email": {"shipped": "no"}},
        {"email": {"shipped": None}},
        {"email": []},
        {"customerId": "0198f3a0-0002-7000-8000-000000000002"},
        [],
        "es",
    ],
    ids=str,
)
async def test_preferences_that_make_no_sense_are_refused(mailroom: Mailroom, body: object) -> None:
    answer = await mailroom.ask("PUT", "/preferences", body, role="customer")

    assert answer.status_code == 422


async def test_many_equal_choices_at_once_are_one(mailroom: Mailroom) -> None:
    ada = uuid7()
    body = {"email": {"shipped": False}}

    answers = await asyncio.gather(
        *(mailroom.ask("PUT", "/preferences", body, role="customer", caller=ada) for _ in range(20))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert await mailroom.rows("SELECT muted FROM preferences") == [(["shipped"],)]


async def test_an_erased_customer_leaves_no_preferences_and_can_not_make_new_ones(
    mailroom: Mailroom,
) -> None:
    ada = await mailroom.know()
    body = {"language": "es"}
    await mailroom.ask("PUT", "/preferences", body, role="customer", caller=ada)
    await mailroom.erase(ada)

    answer = await mailroom.ask("PUT", "/preferences", body, role="customer", caller=ada)

    assert answer.status_code == 404
    assert await mailroom.rows("SELECT * FROM preferences") == []


async def test_staff_see_every_template_and_its_preview_in_every_language(
    mailroom: Mailroom,
) -> None:
    listed = (await mailroom.ask("GET", "/templates")).json()["data"]

    assert {each["templateId"] for each in listed} == set(ALL)
    assert {each["templateId"] for each in listed if each["optional"]} == {"welcome", "shipped"}
    for each in listed:
        for language in each["languages"]:
            answer = await mailroom.ask(
                "POST", f"/templates/{each['templateId']}/preview", {"language": language}
            )
            assert answer.status_code == 200
            assert f'lang="{language}"' in answer.json()["html"]


async def test_a_preview_shows_the_sample_that_was_given(mailroom: Mailroom) -> None:
    sample = {
        "language": "es",
        "name": "Ana",
        "currency": "JPY",
        "lines": [{"sku": "<script>", "quantity": 2, "unitPrice": 500}],
    }

    answer = await mailroom.ask("POST", "/templates/confirmed/preview", sample)

    shown = answer.json()
    assert shown["subject"] == "Su pedido está confirmado"
    assert "2 x <script>: 1.000\N{NO-BREAK SPACE}JPY" in shown["text"]
    assert "&lt;script&gt;" in shown["html"]
    assert "<script>" not in shown["html"]


@pytest.mark.parametrize(
    "body",
    [
        {"lines": []},
        {"lines": [{"sku": "A"}] * 101},
        {"lines": [{"sku": "A\x00"}]},
        {"lines": [{"sku": "A", "quantity": 0}]},
        {"lines": [{"sku": "A", "unitPrice": 10**13}]},
        {"currency": "euro"},
        {"amount": -1},
        {"amount": 1e3},
        {"orderId": "1"},
        {"language": "fr"},
        {"name": "a" * 201},
        {"template": "{{ 7 * 7 }}"},
    ],
    ids=str,
)
async def test_sample_data_that_make_no_sense_are_refused(mailroom: Mailroom, body: object) -> None:
    answer = await mailroom.ask("POST", "/templates/confirmed/preview", body)

    assert answer.status_code in {400, 422}


async def test_an_order_whose_id_tells_of_no_day_is_shown_without_one(mailroom: Mailroom) -> None:
    sample = {"orderId": "ffffffff-ffff-7fff-bfff-ffffffffffff"}

    answer = await mailroom.ask("POST", "/templates/confirmed/preview", sample)

    assert answer.status_code == 200
    assert sample["orderId"] in answer.json()["text"]


async def test_a_template_in_sample_data_is_only_text(mailroom: Mailroom) -> None:
    sample = {"lines": [{"sku": "{{ 7 * 7 }}"}]}

    answer = await mailroom.ask("POST", "/templates/confirmed/preview", sample)

    assert "1 x {{ 7 * 7 }}" in answer.json()["text"]


async def test_staff_find_and_lift_the_suppression_of_a_customers_address(
    mailroom: Mailroom, digests: Digests
) -> None:
    ada, bob = await mailroom.know(), await mailroom.know("bob@example.com")
    await mailroom.suppress(digests.of("ada@example.com"))
    await mailroom.suppress(digests.of("eve@example.com"))

    everybodys = await mailroom.ask("GET", "/suppressions")
    hers = await mailroom.ask("GET", f"/suppressions?customerId={ada}")
    his = await mailroom.ask("GET", f"/suppressions?customerId={bob}")
    (entry,) = hers.json()["data"]
    path = f"/suppressions/{entry['suppressionId']}"
    removed = [await mailroom.ask("DELETE", path) for _ in range(2)]

    assert len(everybodys.json()["data"]) == 2
    assert his.json()["data"] == []
    assert entry["code"] == "smtp_550"
    assert "@" not in everybodys.text
    assert [answer.status_code for answer in removed] == [204, 404]
    assert len(await mailroom.rows("SELECT * FROM suppressions")) == 1
    assert await mailroom.rows("SELECT action FROM ops_audit") == [("remove-suppression",)]


async def test_suppressions_come_in_pages(mailroom: Mailroom) -> None:
    for number in range(5):
        await mailroom.suppress(bytes([number]) * 32)

    first = (await mailroom.ask("GET", "/suppressions?limit=3")).json()
    rest = (await mailroom.ask("GET", f"/suppressions?limit=3&cursor={first['nextCursor']}")).json()

    ids = [each["suppressionId"] for each in first["data"] + rest["data"]]
    assert len(ids) == len(set(ids)) == 5
    assert rest["nextCursor"] is None
