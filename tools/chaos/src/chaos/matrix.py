"""Every row of the fault matrix that the suite promises, and how often each fault comes."""

from __future__ import annotations

from devstack.topology import SERVICES

from chaos import links
from chaos.fault import Fault, Row
from chaos.faults import database, gateway, groups, messages, processes, servers
from chaos.faults import links as cut

_ALL = tuple(SERVICES)
_GATEWAY = (links.GATEWAY,)

MATRIX = (
    Row(
        "F1",
        "kill -9 each service at random",
        (Fault("kill -9", processes.kill, 40, (2, 5), _ALL, quick=3),),
    ),
    Row(
        "F2",
        "kill -9 at named crash points",
        (Fault("die at points", processes.die_at_points, 4, (40, 40), _ALL, cost=8),),
    ),
    Row(
        "F3",
        "SIGTERM: rolling restart of all four",
        (Fault("rolling restart", processes.roll, 3, cost=22),),
    ),
    Row(
        "F4",
        "consumer frozen beyond its session, then back",
        (Fault("zombie consumer", processes.freeze_consumer, 6, (8, 9), _ALL, cost=7),),
    ),
    Row(
        "F5",
        "relay's owner frozen, another waits, then back",
        (Fault("zombie relay", processes.freeze_relay, 5, (12, 13), _ALL, cost=7),),
    ),
    Row(
        "F6",
        "two relays on the same shards, neither knows of the other's locks",
        (Fault("relay twice", processes.relay_twice, 4, (10, 12), _ALL, cost=4),),
    ),
    Row(
        "F7",
        "broker ended, killed, away for a minute",
        (
            Fault("broker SIGTERM", servers.broker_ends, 2, (0, 1), cost=12),
            Fault("broker SIGKILL", servers.broker_dies, 3, (0, 2), cost=12, quick=1),
            Fault("broker away", servers.broker_dies, 1, (60, 60), cost=12),
        ),
        pause=(3, 5),
    ),
    Row(
        "F8",
        "broker frozen, also for longer than a request may take",
        (
            Fault("broker frozen", servers.broker_frozen, 3, (5, 8)),
            Fault("broker frozen for long", servers.broker_frozen, 1, (45, 45)),
        ),
        pause=(3, 5),
    ),
    Row(
        "F9",
        "group's offsets deleted, beyond the end",
        (
            Fault("offsets deleted", groups.forget, 3, (0, 0), _ALL, cost=8),
            Fault("offsets beyond the end", groups.beyond, 3, (4, 6), _ALL, cost=14),
        ),
        pause=(3, 5),
    ),
    Row(
        "F10",
        "Postgres restarted fast and immediate, away",
        (
            Fault("Postgres -m fast", servers.database_fast, 3, (0, 1), cost=3),
            Fault("Postgres -m immediate", servers.database_immediate, 4, (0, 1), cost=3, quick=1),
            Fault("Postgres away", servers.database_immediate, 1, (30, 30), cost=3),
        ),
        pause=(2, 4),
    ),
    Row(
        "F11",
        "sessions killed, slots gone, locks, deadlocks, time-outs",
        (
            Fault("sessions killed", database.terminate, 44, (0.5, 1)),
            Fault("locks held", database.hold_locks, 6, (2.5, 4), database.LOCKED),
            Fault("deadlock", database.deadlock, 6, (3, 4)),
            Fault("slots exhausted", database.exhaust, 4, (3, 5), _ALL),
            Fault("statements time out", database.hurry, 4, (2, 4), _ALL),
        ),
    ),
    Row(
        "F12",
        "link cut after COMMIT was sent",
        (Fault("COMMIT unanswered", cut.lose_commits, 20, (1, 2), _ALL, quick=4),),
    ),
    Row(
        "F14",
        "Valkey flushed, frozen, killed",
        (
            Fault("cache flushed", servers.cache_flushed, 3, (0, 1)),
            Fault("cache frozen", servers.cache_frozen, 3, (2, 4)),
            Fault("cache killed", servers.cache_dies, 3, (0, 1), cost=1),
        ),
    ),
    Row(
        "F15",
        "gateway: 5xx, 429, garbage, wrong amount, reset mid-body, slow, silent, killed",
        (
            Fault("gateway 500", gateway.broken, 3, (3, 5), quick=1),
            Fault("gateway 429", gateway.busy, 3, (3, 5)),
            Fault("gateway garbage", gateway.garbage, 3, (3, 5), quick=1),
            Fault("gateway wrong amount", gateway.wrong_amount, 3, (3, 5)),
            Fault("gateway reset mid-body", cut.cut_answers, 3, (3, 5), _GATEWAY),
            Fault("gateway slow", cut.trickle, 3, (3, 5), _GATEWAY),
            Fault("gateway silent", cut.hold, 3, (3, 5), _GATEWAY),
            Fault("gateway killed", servers.gateway_dies, 3, (0, 2), cost=1, quick=1),
        ),
    ),
    Row(
        "F16",
        "charged, answers lost for longer than the keys are worth",
        (Fault("answers lost", cut.lose_answers_for_longer_than_keys, 3, (5, 6), cost=16),),
    ),
    Row(
        "F17",
        "answers late, out of order, after the client has left",
        (
            Fault("answers late", cut.slow, 4, (4, 6), _GATEWAY),
            Fault("answers after the client", cut.hold_answers, 4, (4, 6), _GATEWAY),
            Fault("requests after the client", cut.hold_requests, 4, (4, 6), _GATEWAY),
        ),
    ),
    Row(
        "F18",
        "refunds fail for a while, then work",
        (Fault("no refunds", gateway.no_refunds, 2, (30, 30)),),
    ),
    Row(
        "F19",
        "poison among real events",
        (Fault("poison", messages.poison, 6, (4, 6), messages.EVENT_TOPICS, cost=1),),
    ),
    Row(
        "F20",
        "decisions on some keys fail, then mended",
        (Fault("bug on some keys", messages.bug, 4, (12, 15), _ALL, cost=8),),
    ),
    Row(
        "F21",
        "rebalance storm, groups set back by 10,000 records",
        (
            Fault("rebalance storm", groups.storm, 4, (25, 25), _ALL),
            Fault("group set back", groups.rewind, 4, (0, 0), _ALL, cost=8),
        ),
    ),
    Row(
        "F22",
        "links held both ways and one way, refused, reset, slow",
        (
            Fault("link held", cut.hold, 10, (4, 6), links.ALL, quick=1),
            Fault("requests held", cut.hold_requests, 10, (3, 5), links.ALL),
            Fault("answers held", cut.hold_answers, 10, (3, 5), links.ALL),
            Fault("link refuses", cut.refuse, 10, (2, 4), links.ALL, quick=1),
            Fault("link reset", cut.reset, 10, (0.5, 1), links.ALL),
            Fault("link slow", cut.slow, 8, (3, 5), links.ALL),
            Fault("mail server killed", servers.mail_dies, 2, (0, 2), cost=1),
        ),
    ),
    Row(
        "F24",
        "event loop blocked for 15 s",
        (Fault("loop blocked", processes.block, 4, (15, 15), _ALL, cost=8),),
    ),
    Row(
        "F25",
        "parked and dead replayed, twice and at once, under load",
        (Fault("replay", messages.replay_meanwhile, 3, (8, 8), _ALL, cost=12),),
        settings={name: {"RETRY_ATTEMPTS": "2"} for name in SERVICES},
    ),
    Row(
        "F27",
        "one transaction holds its snapshot",
        (Fault("snapshot held", database.hold_snapshot, 1, (80, 80)),),
    ),
)
PROMISED = (*range(1, 13), *range(14, 23), 24, 25, 27)
"""Of F1 to F28; not F13, F23, F26 and F28."""
