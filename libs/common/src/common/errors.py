"""The failure classes, one for each thing that the shell does next.

Exception
├── Refusal             anticipated, the caller's fault → HTTP 4xx with its code
├── Poison              can't be decoded → parked as skipped, alone; dead letter at once
├── UnknownSchema       a wanted type with an unknown schema id → parked and retried: deploy skew
├── Unavailable         database, broker or provider is away → wait, whole batch again; HTTP 503
├── Contended           a lock or statement time-out, a deadlock → half the batch; HTTP 503
├── Flood               too many decisions failed → the consumer stops until an operator resumes
└── ConfigurationError  the environment is unusable → one message, exit code 2

Any other exception is a bug or a hiccup: that message alone is parked and retried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

_RETRYABLE_STATUSES = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong place in a request: where (a JSON pointer), what kind, and how to mend it."""

    pointer: str
    code: str
    detail: str


class Refusal(Exception):
    """The request was understood and is refused; `code` is stable, `detail` names the remedy."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = HTTPStatus.CONFLICT,
        errors: Sequence[FieldError] = (),
        retry_after: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = int(status)
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.retryable = (
            retryable
            if retryable is not None
            else retry_after is not None or status in _RETRYABLE_STATUSES
        )

    @property
    def title(self) -> str:
        return self.code.replace("_", " ").capitalize()


class _Explained(Exception):
    """The class's docstring is the default message, so that it always names the remedy."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((self.__doc__ or "").split()))


class Poison(_Explained):
    """The record can't be decoded and never will be: look at it in `parked`, mend its producer."""


class UnknownSchema(_Explained):
    """The record's schema id is not in schemas/ids.json: deploy the schemas, then it is retried."""


class Unavailable(_Explained):
    """Something that this service depends on is away: check that it runs; we try again."""

    def __init__(
        self, message: str | None = None, *, code: str = "not_ready", retry_after: float = 2.0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class Contended(_Explained):
    """Others held the rows for too long: the same work in a smaller batch, or a little later."""


class Flood(_Explained):
    """Half of the last decisions failed: suspect the deploy, mend it, then resume the consumer."""


class ConfigurationError(Exception):
    """The environment is unusable; lists every bad variable by name and never its value."""

    def __init__(self, problems: Sequence[str]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"bad configuration, see .env.example:\n{lines}")
        self.problems = tuple(problems)
