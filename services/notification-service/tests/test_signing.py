"""Our signatures, verified by an implementation that is not ours."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from notification_service.channels.signing import Unreadable, Vault
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

DOCS = Path(__file__).parents[3] / "docs" / "notifications.md"
KEY = b"k" * 32
PAYLOAD = '{"type":"order.confirmed","data":{"orderId":"1","note":"¡Hola!"}}'


def test_an_independent_implementation_believes_our_signature() -> None:
    vault = Vault(KEY)
    secret, sealed = vault.make()

    headers = vault.headers([sealed], uuid4(), PAYLOAD, now=datetime.now(UTC))

    assert Webhook(secret.get_secret_value()).verify(PAYLOAD, headers)


def test_while_a_secret_is_rotated_both_are_believed() -> None:
    vault = Vault(KEY)
    (old, old_sealed), (new, new_sealed) = vault.make(), vault.make()

    headers = vault.headers([new_sealed, old_sealed], uuid4(), PAYLOAD, now=datetime.now(UTC))

    assert Webhook(new.get_secret_value()).verify(PAYLOAD, headers)
    assert Webhook(old.get_secret_value()).verify(PAYLOAD, headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature", "body"])
def test_whatever_is_tampered_with_is_not_believed(name: str) -> None:
    vault = Vault(KEY)
    secret, sealed = vault.make()
    headers = vault.headers([sealed], uuid4(), PAYLOAD, now=datetime.now(UTC))
    body = PAYLOAD
    if name == "body":
        body = PAYLOAD.replace("confirmed", "cancelled")
    elif name == "webhook-timestamp":
        headers[name] = str(int(headers[name]) + 1)
    else:
        version, _, digest = headers[name].partition(",")
        headers[name] = f"{version},{'B' if digest.startswith('A') else 'A'}{digest[1:]}"

    with pytest.raises(WebhookVerificationError):
        Webhook(secret.get_secret_value()).verify(body, headers)


def test_an_old_message_is_not_believed() -> None:
    vault = Vault(KEY)
    secret, sealed = vault.make()
    then = datetime.now(UTC) - timedelta(minutes=6)

    headers = vault.headers([sealed], uuid4(), PAYLOAD, now=then)

    with pytest.raises(WebhookVerificationError):
        Webhook(secret.get_secret_value()).verify(PAYLOAD, headers)


def test_what_is_stored_does_not_tell_the_secret() -> None:
    secret, sealed = Vault(KEY).make()

    assert secret.get_secret_value().removeprefix("whsec_").encode() not in sealed
    assert secret.get_secret_value() not in repr(secret)
    with pytest.raises(Unreadable):
        Vault(b"x" * 32).headers([sealed], uuid4(), PAYLOAD, now=datetime.now(UTC))


def test_no_two_secrets_are_alike() -> None:
    vault = Vault(KEY)

    assert len({vault.make()[0].get_secret_value() for _ in range(100)}) == 100


def test_the_transcript_in_the_documents_is_signed_with_the_secret_in_it() -> None:
    text = DOCS.read_text()
    found = re.search(
        r"webhook-id: (\S+)\nwebhook-timestamp: (\d+)\nwebhook-signature: (\S+)\n.*?\n\n(.*?)\n```",
        text,
        re.DOTALL,
    )
    secret = re.search(r'"secret":"(whsec_[^"]+)"', text)
    assert found
    assert secret

    signature = Webhook(secret[1]).sign(
        found[1], datetime.fromtimestamp(int(found[2]), UTC), found[4]
    )

    assert signature == found[3]
