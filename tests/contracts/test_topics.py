"""topics.yaml keeps the design's rules, and is what the services subscribe to."""

from __future__ import annotations

import importlib
from datetime import timedelta
from typing import Any

import pytest

SERVICES = ("order-service", "inventory-service", "payment-service", "notification-service")

Topics = dict[str, dict[str, Any]]


def of_kind(topics: Topics, kind: str) -> Topics:
    return {name: topic for name, topic in topics.items() if topic["kind"] == kind}


def milliseconds(**parts: int) -> int:
    return timedelta(**parts) // timedelta(milliseconds=1)


def test_every_topic_has_the_same_partitions(topics: Topics) -> None:
    """One key of two topics lands in one process only so."""
    assert {topic["partitions"] for topic in topics.values()} == {12}


def test_every_topic_with_events_is_declared(topics: Topics, ids: dict[str, int]) -> None:
    said = {name.split("/")[0] for name in ids}

    assert said == set(of_kind(topics, "event")) | set(of_kind(topics, "state"))


def test_producers_and_consumers_are_services(topics: Topics) -> None:
    for topic in topics.values():
        assert {topic["producer"], *topic["consumers"]} <= set(SERVICES)


def test_every_consumer_has_its_own_dead_letter_topic(topics: Topics) -> None:
    for topic in topics.values():
        for group, dead_letter in topic["consumers"].items():
            assert dead_letter == f"{group}.dlt"
            assert topics[dead_letter]["kind"] == "dead_letter"
            assert topics[dead_letter]["producer"] == group


def test_a_dead_letter_topic_holds_the_largest_record_and_its_story(topics: Topics) -> None:
    for topic in topics.values():
        for dead_letter in topic["consumers"].values():
            room = topics[dead_letter]["config"]["max.message.bytes"]
            assert room == 2 * topic["config"]["max.message.bytes"]


def test_events_are_kept_for_a_week_and_dead_letters_for_a_month(topics: Topics) -> None:
    for topic in of_kind(topics, "event").values():
        assert topic["config"]["retention.ms"] == milliseconds(days=7)
        assert topic["config"]["cleanup.policy"] == "delete"
    for topic in of_kind(topics, "dead_letter").values():
        assert topic["config"]["retention.ms"] == milliseconds(days=30)
        assert topic["config"]["cleanup.policy"] == "delete"


def test_what_is_erased_from_a_state_topic_is_gone_within_hours(topics: Topics) -> None:
    for topic in of_kind(topics, "state").values():
        config = topic["config"]
        assert config["cleanup.policy"] == "compact"
        assert config["max.compaction.lag.ms"] == milliseconds(hours=1)
        assert config["segment.ms"] == milliseconds(hours=1)
        assert config["delete.retention.ms"] == milliseconds(days=1)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_hears_exactly_the_topics_that_it_is_declared_for(
    service: str, topics: Topics
) -> None:
    consumers = importlib.import_module(f"{service.replace('-', '_')}.consumers")
    states = getattr(consumers, "STATES", {})

    declared = {name: topic for name, topic in topics.items() if service in topic["consumers"]}
    assert {event.TOPIC for event in consumers.DECISIONS} == set(of_kind(declared, "event"))
    assert {event.TOPIC for event in states} == set(of_kind(declared, "state"))
