"""Dead letters and waiting keys: what is shown, and what each act changes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import ops_desk
import pytest
import till
from common.message import uuid7
from ops_desk import Admin, Desk, counted, letters, order, states

pytestmark = pytest.mark.postgres


async def test_a_dead_letter_is_shown_with_its_reason_and_its_content(desk: Desk) -> None:
    failed = order("f")
    await desk.take(till.record(failed), till.record(order("1"), offset=1))

    (letter,) = await letters(desk)
    shown = await desk.get(f"/dead-letters/{letter['id']}")

    assert (
        letter
        | {
            "state": "dead",
            "key": str(failed),
            "type": "OrderConfirmed",
            "errorClass": "builtins.LookupError",
            "attempt": 3,
            "replays": 0,
            "nextAt": None,
            "stateRecord": False,
        }
        == letter
    )
    assert ops_desk.NEVER not in str(shown)
    assert shown["payload"]["form"] == "decoded"
    assert shown["payload"]["value"]["order_id"] == str(failed)
    assert {"name": "ce_type", "value": "OrderConfirmed"} in shown["headers"]


async def test_what_cannot_be_read_is_shown_in_hex_and_escaped(desk: Desk) -> None:
    bad = {b"ce_id": b"\xff\x1b[2J"}
    await desk.take(till.record(order("1"), value=b"\x00\x01", headers=bad, key=b"\x00\xff"))

    (letter,) = await letters(desk)
    shown = await desk.get(f"/dead-letters/{letter['id']}")

    assert (letter["state"], letter["key"], letter["eventId"]) == ("skipped", "hex:00ff", None)
    assert shown["payload"] | {"form": "hex", "size": 2, "prefix": "0001"} == shown["payload"]
    assert all(header["value"].isascii() for header in shown["headers"])


async def test_letters_are_filtered_grouped_and_paged(desk: Desk) -> None:
    failed = [order("f") for _ in range(3)]
    await desk.take(*(till.record(each, offset=n) for n, each in enumerate(failed)))
    await desk.take(till.record(order("1"), offset=9, value=b"junk"))

    first = await desk.get("/dead-letters", limit=3)
    rest = await desk.get("/dead-letters", limit=3, cursor=first["nextCursor"])
    by_class = (await desk.get("/dead-letters", groupBy="errorClass"))["groups"]
    by_key = (await desk.get("/dead-letters", groupBy="key", limit=2))["groups"]

    assert [len(first["data"]), len(rest["data"]), rest["nextCursor"]] == [3, 1, None]
    assert [(g["value"], g["count"]) for g in by_class] == [
        ("builtins.LookupError", 3),
        ("common.errors.Poison", 1),
    ]
    assert len(by_key) == 2
    assert len(await letters(desk, state="skipped")) == 1
    assert len(await letters(desk, key=str(failed[0]), type="OrderConfirmed")) == 1
    assert await letters(desk, errorClass="no.such") == []
    assert await letters(desk, to="2026-01-01T00:00:00Z") == []


async def test_replaying_twice_has_its_effect_once(desk: Desk, admin: Admin) -> None:
    failed = order("f")
    await desk.take(till.record(failed))
    (letter,) = await letters(desk)

    first = await desk.post(f"/dead-letters/{letter['id']}/replay", note="mended")
    second = await desk.post(f"/dead-letters/{letter['id']}/replay")
    await till.sweep(desk.database)
    await till.sweep(desk.database)

    assert (first["changed"], first["before"], first["after"]) == (1, {"dead": 1}, {"retry": 1})
    assert (second["changed"], second["before"]) == (0, {"retry": 1})
    assert await counted(admin) == {failed: 1}
    gone = await desk.refused("POST", f"/dead-letters/{letter['id']}/replay", json={})
    assert gone == (404, "not_found")


async def test_a_discarded_one_lets_its_key_go_on_and_can_be_restored(
    desk: Desk, admin: Admin
) -> None:
    failed = order("f")
    await desk.take(till.record(failed), till.record(failed, offset=1))
    head = min(await letters(desk), key=lambda each: each["id"])

    await desk.post(f"/dead-letters/{head['id']}/discard", note="sold by telephone")
    await till.sweep(desk.database)
    assert await counted(admin) == {failed: 1}
    path = f"/dead-letters/{head['id']}"
    assert await desk.refused("POST", f"{path}/replay", json={}) == (409, "invalid_state")
    await desk.post(f"{path}/restore")
    await desk.post(f"{path}/replay")
    await till.sweep(desk.database)

    assert await counted(admin) == {failed: 2}
    assert await states(admin) == {}


async def test_a_key_waits_in_order_and_is_drained_in_order(desk: Desk, admin: Admin) -> None:
    failed, well = order("f"), order("1")
    ids = [uuid7() for _ in range(3)]
    waiting = [till.record(failed, offset=n, event_id=each) for n, each in enumerate(ids)]
    await desk.take(*waiting, till.record(well, offset=9))
    (key,) = (await desk.get("/parked-keys"))["data"]

    change = await desk.post(f"/parked-keys/{key['key']}/drain", note="mended")
    again = await desk.post(f"/parked-keys/{key['key']}/drain")
    await till.sweep(desk.database)

    assert (key["key"], key["waiting"], key["head"]["eventId"]) == (str(failed), 3, str(ids[0]))
    assert (change["before"], change["after"]) == ({"dead": 1, "retry": 2}, {"retry": 3})
    assert again["changed"] == 0
    rows = await admin.fetch("SELECT event_id FROM till_log WHERE order_id = $1", failed)
    assert [row["event_id"] for row in rows] == ids
    assert await counted(admin) == {failed: 3, well: 1}


async def test_a_head_is_skipped_only_as_long_as_it_is_the_head(desk: Desk, admin: Admin) -> None:
    failed = order("f")
    await desk.take(till.record(failed), till.record(failed, offset=1))
    (key,) = (await desk.get("/parked-keys"))["data"]
    other = max(each["id"] for each in await letters(desk))
    path = f"/parked-keys/{failed}/skip-head"

    wrong = await desk.refused("POST", path, json={"headId": other, "note": "why"})
    change = await desk.post(path, headId=key["head"]["id"], note="sold by hand")
    again = await desk.post(path, headId=key["head"]["id"], note="sold by hand")
    await till.sweep(desk.database)

    assert wrong == (409, "invalid_state")
    assert (change["changed"], change["after"]) == (1, {"retry": 1, "skipped": 1})
    assert again["changed"] == 0
    assert await counted(admin) == {failed: 1}
    assert await states(admin) == {"skipped": 1}


async def test_an_edited_message_is_handled_in_its_place_under_a_new_id(
    desk: Desk, admin: Admin
) -> None:
    failed, wanted, first = order("f"), order("1"), uuid7()
    await desk.take(till.record(failed, event_id=first))
    (letter,) = await letters(desk)
    path = f"/dead-letters/{letter['id']}"

    answer = await desk.ask(
        "PUT", path, json={"note": "typed wrong", "payload": {"customer_id": str(wanted)}}
    )
    shown = await desk.get(path)
    await till.sweep(desk.database)

    assert answer.status_code == 200, answer.text
    new = answer.json()["eventId"]
    assert new not in {str(first), None}
    headers = {each["name"]: each["value"] for each in shown["headers"]}
    assert (headers["ce_id"], headers["ce_causationid"]) == (new, str(first))
    assert shown["payload"]["value"]["customer_id"] == str(wanted)
    assert await counted(admin) == {failed: 1}
    taken = await admin.fetch("SELECT event_id, origin, seq FROM inbox ORDER BY origin")
    assert [(str(row["event_id"]), row["origin"]) for row in taken] == [
        (new, "edited"),
        (str(first), "topic"),
    ]
    assert len({row["seq"] for row in taken}) == 1


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"colour": "red"}, "has no colour"),
        ({"customer_id": 7}, "OrderConfirmed"),
        ({"customer_id": "me"}, "OrderConfirmed"),
        ({"order_id": str(uuid4())}, "key"),
    ],
)
async def test_an_edit_that_nobody_could_read_is_refused(
    desk: Desk, admin: Admin, members: dict[str, Any], why: str
) -> None:
    await desk.take(till.record(order("f")))
    (letter,) = await letters(desk)

    answer = await desk.ask(
        "PUT", f"/dead-letters/{letter['id']}", json={"note": "why", "payload": members}
    )

    assert answer.status_code == 422
    assert why in answer.json()["errors"][0]["detail"]
    assert await states(admin) == {"dead": 1}
