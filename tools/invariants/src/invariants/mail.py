"""I6: what arrived at the mail sink against what the customers were owed."""

import fcntl
import mmap
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from invariants.report import Finding, counted
from invariants.sources import Connection

Key = tuple[str, str, str]
"""Order (or `-`, where a message is about none), kind and subject."""

BOX = "mbox"
"""The sink's only file: each letter follows a line that begins with From."""

_HEADER = re.compile(rb"^(message-id|x-pedido-[a-z]+):\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(r"<([0-9a-f-]{36}|-)\.([a-z_]+)\.(\S+)@pedido>")

OWED = """
    SELECT order_id, kind FROM orders.orders
    JOIN (VALUES ('COMPLETED', 'confirmed'), ('SHIPPED', 'confirmed'), ('SHIPPED', 'shipped'),
                 ('DELIVERED', 'confirmed'), ('DELIVERED', 'shipped'), ('REJECTED', 'rejected'),
                 ('EXPIRED', 'expired'), ('CANCELLED', 'cancelled')) AS owed(status, kind)
      USING (status)
    EXCEPT SELECT order_id, kind FROM notifications.notifications
"""


KNOWN = """
    SELECT order_id AS id FROM orders.orders
    UNION SELECT customer_id FROM notifications.customers
"""
"""Whatever a message of ours can be about; the sink may hold others' too."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One received message, by what it says it is."""

    message_id: str
    key: Key


class Reader:
    """Reads the letters in the sink's folder, in the order in which they came, each once."""

    def __init__(self, folder: Path) -> None:
        """Begin with the first."""
        self._box = folder / BOX
        self._read = 0

    def unread(self) -> Iterator[bytes]:
        """Read what has come since all was read."""
        if not self._box.exists():
            return
        with self._box.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH)  # no letter is half written now
            size = os.fstat(file.fileno()).st_size
            fcntl.lockf(file, fcntl.LOCK_UN)
            if size > self._read:
                with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
                    yield from _split(content, self._read)
                self._read = size


def read_letters(folder: Path) -> Iterator[bytes]:
    """Read every letter in the sink's folder, in the order in which they came."""
    return Reader(folder).unread()


def _split(content: mmap.mmap, start: int) -> Iterator[bytes]:
    start = content.find(b"From ", start)
    while start >= 0:
        end = content.find(b"\nFrom ", start)
        yield content[content.find(b"\n", start) + 1 : end + 1 or None]
        start = end + 1 or -1


def read_mail(folder: Path) -> Iterator[Mail]:
    """Read the headers of every message of ours in the sink's folder."""
    for letter in read_letters(folder):
        head = letter.partition(b"\n\n")[0]
        headers = {name.lower(): value.decode() for name, value in _HEADER.findall(head)}
        message_id = headers.get(b"message-id", "")
        if (found := _MESSAGE_ID.fullmatch(message_id)) is None:
            continue
        key = (
            headers.get(b"x-pedido-order", str(found[1])),
            headers.get(b"x-pedido-kind", str(found[2])),
            headers.get(b"x-pedido-subject", str(found[3])),
        )
        yield Mail(message_id, key)


async def check_mail(db: Connection, folder: Path) -> Finding:
    """I6: each message once, none missing, none that nobody ordered."""
    received = Counter(read_mail(folder))
    rows = await db.fetch(
        "SELECT order_id, kind, subject, status, message_id FROM notifications.notifications"
    )
    statuses = {
        (str(row["order_id"] or "-"), row["kind"], row["subject"] or "-"): row["status"]
        for row in rows
    }
    known = {str(row["id"]) for row in await db.fetch(KNOWN)}
    ours = Counter({mail: times for mail, times in received.items() if _about(mail.key) in known})
    owed = await db.fetch(OWED)
    return Finding.of(
        "I6",
        "one message per (order, kind, subject) at the sink, by message id",
        checked=f"{counted(len(ours), 'message')} for {counted(len(rows), 'notification')}",
        violations=[
            *(f"order {row['order_id']} was owed a {row['kind']!r} e-mail" for row in owed),
            *_unsent(statuses, {mail.key for mail in ours}),
            *_doubled(ours),
            *(
                f"{mail.message_id} arrived and no notification knows it"
                for mail in ours
                if mail.key not in statuses
            ),
        ],
        notes=_notes(ours, Counter(statuses.values())),
    )


def _about(key: Key) -> str:
    """Name the order that a message is about, or else the customer."""
    order, _, subject = key
    return subject if order == "-" else order


def _unsent(statuses: Mapping[Key, str], arrived: set[Key]) -> Iterator[str]:
    for key, status in statuses.items():
        name = f"notification {' '.join(key)}"
        if status == "SENT" and key not in arrived:
            yield f"{name} is SENT and never arrived"
        elif status not in {"SENT", "FAILED", "SUPPRESSED"}:
            yield f"{name} is still {status}"


def _doubled(ours: Counter[Mail]) -> Iterator[str]:
    by_key: defaultdict[Key, set[str]] = defaultdict(set)
    for mail in ours:
        by_key[mail.key].add(mail.message_id)
    for key, message_ids in by_key.items():
        if len(message_ids) > 1:
            yield f"{' '.join(key)} arrived as {len(message_ids)} messages"


def _notes(ours: Counter[Mail], statuses: Counter[str]) -> list[str]:
    again = ours.total() - len(ours)
    return [
        f"{counted(again, 'repeated delivery')} under a known message id: SMTP is at-least-once"
        if again
        else "",
        *(
            f"{counted(statuses[status], 'notification')} {status.lower()}"
            for status in ("FAILED", "SUPPRESSED")
            if statuses[status]
        ),
    ]
