import importlib
from collections import defaultdict

import pytest
from invariants.decides import HEARD, STATE_TOPICS


@pytest.mark.parametrize("service", HEARD)
def test_the_checkers_own_table_is_what_the_service_decides_on(service: str) -> None:
    consumers = importlib.import_module(f"{service.replace('-', '_')}.consumers")

    decides: defaultdict[str, set[str]] = defaultdict(set)
    for event in consumers.DECISIONS:
        decides[event.TOPIC].add(event.type_name())
    states = {event.TOPIC for event in getattr(consumers, "STATES", {})}
    assert decides == {topic: set(types) for topic, types in HEARD[service].items()}
    assert states == set(STATE_TOPICS.get(service, ()))
