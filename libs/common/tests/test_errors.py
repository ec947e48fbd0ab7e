import pytest
from common.errors import (
    ConfigurationError,
    Contended,
    Flood,
    Poison,
    Refusal,
    Unavailable,
    UnknownSchema,
)


def test_a_refusal_has_a_title_in_words() -> None:
    refusal = Refusal("idempotency_in_flight", "Wait for the first one.", retry_after=1)

    assert refusal.title == "Idempotency in flight"
    assert refusal.status == 409


@pytest.mark.parametrize(
    ("refusal", "retryable"),
    [
        (Refusal("invalid_state", "No.", status=409), False),
        (Refusal("idempotency_in_flight", "Wait.", status=409, retry_after=1), True),
        (Refusal("rate_limited", "Slower.", status=429), True),
        (Refusal("overloaded", "Later.", status=503), True),
        (Refusal("odd", "Later.", status=503, retryable=False), False),
    ],
    ids=["conflict", "retry after", "rate", "overload", "said so"],
)
def test_a_refusal_says_whether_trying_again_helps(refusal: Refusal, *, retryable: bool) -> None:
    assert refusal.retryable is retryable


@pytest.mark.parametrize("failure", [Poison, UnknownSchema, Unavailable, Contended, Flood])
def test_a_failure_without_a_message_names_its_remedy(failure: type[Exception]) -> None:
    message = str(failure())

    assert len(message) > 40
    assert "\n" not in message


def test_a_failure_may_be_given_its_own_message() -> None:
    assert str(Unavailable("the broker is away")) == "the broker is away"


def test_bad_configuration_lists_every_problem() -> None:
    error = ConfigurationError(["PORT: too large", "DATABASE_URL: is required"])

    assert "PORT: too large" in str(error)
    assert "DATABASE_URL: is required" in str(error)
