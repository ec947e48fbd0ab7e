"""A letter as the bytes that a mail server takes, by RFC 5322 and MIME.

The library's own message, a tree of objects, takes ten times as long to build and to flatten.
"""

import re
import secrets
import time
from binascii import b2a_qp
from datetime import UTC, datetime
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

from common.errors import ConfigurationError

from notification_service.domain.notices import Notice
from notification_service.domain.words import Text

_LONGEST_LINE = 998
"""RFC 5322's limit, without CRLF."""
_BREAKING = re.compile(r"[\x00-\x1f\x7f-\x9f\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]")
"""What could end a header's line, for one reader or another."""
_ATOM = r"[^\s\x00-\x20\x7f-\x9f@<>(),;:\\\"\[\]]"
_ADDRESS = re.compile(_ATOM + "{1,64}@" + _ATOM + "{1,255}")


def is_address(address: str) -> bool:
    """Tell whether it is one mailbox and nothing else, so that it can stand in a command."""
    return _ADDRESS.fullmatch(address) is not None


def mailbox(sender: str) -> str:
    """Read the address of a From line; raises ConfigurationError where there is not one alone."""
    found = [str(each.addr_spec) for each in SMTP.header_factory("From", sender).addresses]
    if len(found) != 1 or not is_address(found[0]):
        raise ConfigurationError(["MAIL_SENDER: write it as Name <address>"])
    return found[0]


def letter(notice: Notice, text: Text, *, sender: str, to: str, eight_bit: bool) -> bytes:
    """Write a letter with lines that end in CRLF; raises ValueError for a header of two lines."""
    boundary = f"=_{secrets.token_hex(16)}"  # no text can have it in it: nobody knows it
    head = (
        _folded("From", sender),
        _header("To", to),
        _folded("Subject", text.subject),
        _date(int(time.time())),
        _header("Message-ID", notice.message_id),
        _header("X-Pedido-Order", str(notice.order_id or "-")),
        _header("X-Pedido-Kind", notice.kind),
        _header("X-Pedido-Subject", notice.subject or "-"),
        b"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n",
        _header("Content-Type", f'multipart/alternative; boundary="{boundary}"'),
    )
    limit = f"--{boundary}".encode()
    plain = _part("plain", text.body, eight_bit=eight_bit)
    html = _part("html", text.html, eight_bit=eight_bit)
    return b"%b\r\n%b\r\n%b\r\n%b\r\n%b\r\n%b--\r\n" % (
        b"".join(head),
        limit,
        plain,
        limit,
        html,
        limit,
    )


def _header(name: str, value: str) -> bytes:
    if _BREAKING.search(value):
        message = f"{name} would break its line"
        raise ValueError(message)
    return f"{name}: {value}\r\n".encode()


@lru_cache(maxsize=256)
def _folded(name: str, value: str) -> bytes:
    """Encode what is not ASCII, and fold: slow, for what many letters have in common."""
    _header(name, value)
    return SMTP.fold_binary(*SMTP.header_store_parse(name, value))


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return _header("Date", format_datetime(datetime.fromtimestamp(second, UTC)))


def _part(subtype: str, words: str, *, eight_bit: bool) -> bytes:
    if "\r" in words:  # a bare one ends a line for some servers, and a message with it
        words = words.replace("\r\n", "\n").replace("\r", "\n")
    encoding, content = "8bit", words.encode()
    if not eight_bit or max(map(len, content.split(b"\n"))) > _LONGEST_LINE:
        encoding, content = "quoted-printable", b2a_qp(content)
    head = (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + content.replace(b"\n", b"\r\n")
