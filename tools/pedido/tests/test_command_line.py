from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from common.auth import Principal, TokenIssuer
from common.message import uuid7
from common.settings import JwtIssuerSettings
from devstack.deployment import Deployment
from devstack.keys import create_signing_key
from devstack.stack import Stack
from pedido.__main__ import main
from pydantic import SecretStr

ORDER = "01a20d2e-57c8-766d-99f5-bf775b098884"
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Ran:
    """What a caller sees of a command."""

    returncode: int
    stdout: str
    stderr: str


Pedido = Callable[..., Ran]


@pytest.fixture
def pedido(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Pedido:
    """Run commands in this process: to import everything anew takes a second."""

    def run(*words: str, cwd: Path = tmp_path, env: dict[str, str] | None = None) -> Ran:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["pedido", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        monkeypatch.setattr(os, "environ", basics() | (env or {}))
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return Ran(code, *capsys.readouterr())

    return run


def program(
    *words: str, cwd: Path, env: dict[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pedido", *words],
        cwd=cwd,
        env=basics() | (env or {}),
        input=typed,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        start_new_session=True,  # no terminal: a password is read from what is typed
    )


def basics() -> dict[str, str]:
    """Keep no address of this process's own environment."""
    return {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}


def signed(key: str, role: str, life: timedelta = timedelta(minutes=15)) -> str:
    settings = JwtIssuerSettings(jwt_private_key=SecretStr(key), jwt_expires_in=life)
    return TokenIssuer(settings).issue(Principal(uuid7(), frozenset({role})))


@pytest.mark.parametrize(
    "words",
    [
        ("frob",),
        ("--output", "xml", "doctor"),
        ("saga", "show", "not-an-id"),
        ("saga", "show", "../../etc/passwd"),
        ("dlt", "show", "order", "-1"),
        ("dlt", "show", "order", "1; rm -rf /"),
        ("dlt", "list", "warehouse"),
        ("saga", "force", ORDER, "--yes"),
        ("events", "tail", "--last", "0"),
        ("token", "--role", "root"),
    ],
    ids=["verb", "output", "id", "path", "negative", "shell", "service", "no note", "none", "role"],
)
def test_wrong_usage_is_said_and_exits_with_2(pedido: Pedido, words: tuple[str, ...]) -> None:
    ran = pedido(*words, env={"ORDER_URL": NOWHERE, "PEDIDO_TOKEN": "t"})

    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        (("saga", "list"), {}, "ORDER_URL is not set"),
        (("saga", "list"), {"ORDER_URL": NOWHERE}, "no token"),
        (("saga", "list"), {"ORDER_URL": NOWHERE, "PEDIDO_TOKEN": "t"}, "does not answer"),
        (("saga", "list"), {"ORDER_URL": NOWHERE, "PEDIDO_TOKEN": "a\nb"}, "is no token"),
        (("saga", "list"), {"ORDER_URL": "no url", "PEDIDO_TOKEN": "t"}, "does not answer"),
        (("events", "tail"), {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, "the broker at"),
        (("token",), {"JWT_PRIVATE_KEY_FILE": "/nowhere"}, "can't be read"),
    ],
    ids=["no address", "no token", "no answer", "control", "no url", "no broker", "no key"],
)
def test_what_can_t_be_reached_is_said_in_one_line(
    pedido: Pedido, words: tuple[str, ...], env: dict[str, str], told: str
) -> None:
    ran = pedido(*words, env=env)

    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_question_nobody_answers_changes_nothing(pedido: Pedido) -> None:
    ran = pedido("saga", "retry", ORDER, env={"ORDER_URL": NOWHERE, "PEDIDO_TOKEN": "t"})

    assert ran.returncode == 1
    assert "does not answer" not in ran.stderr


def test_addresses_are_found_in_a_file_above(tmp_path: Path, pedido: Pedido) -> None:
    key = create_signing_key(tmp_path / "key.pem")
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "stack.env").write_text(f"JWT_PRIVATE_KEY_FILE={key}\n")
    (deep := tmp_path / "a" / "b").mkdir(parents=True)

    ran = pedido("token", cwd=deep)

    assert (ran.returncode, ran.stdout.count(".")) == (0, 2)


@pytest.mark.parametrize(
    ("words", "role"), [((), "operator"), (("--role", "admin"), "admin")], ids=["usual", "asked"]
)
async def test_a_token_is_for_one_role(
    tmp_path: Path, pedido: Pedido, words: tuple[str, ...], role: str
) -> None:
    path = create_signing_key(tmp_path / "key.pem")

    ran = pedido("token", *words, env={"JWT_PRIVATE_KEY_FILE": str(path)})

    issuer = TokenIssuer(JwtIssuerSettings(jwt_private_key=SecretStr(path.read_text())))
    principal = await issuer.verifier().verify(ran.stdout.strip())
    assert principal.roles == {role}


def test_help_names_every_verb(tmp_path: Path) -> None:
    ran = program("--help", cwd=tmp_path)

    looks = "doctor lag outbox events payments invariants stock"
    repairs = "dlt parked saga consumers rewind token login"
    assert all(verb in ran.stdout for verb in [*looks.split(), *repairs.split()])


@pytest.mark.saga
async def test_sagas_are_listed_as_json_for_operators_alone(
    stack: Stack, services: Deployment, tmp_path: Path
) -> None:
    await services.start("order")
    env = {"ORDER_URL": services.url("order")}
    key = stack.signing_key.read_text()

    def asked(token: str) -> subprocess.CompletedProcess[str]:
        return program(
            "--output", "json", "saga", "list", cwd=tmp_path, env=env | {"PEDIDO_TOKEN": token}
        )

    found, wrong, bad = asked(signed(key, "operator")), asked(signed(key, "staff")), asked("x.y.z")

    assert (found.returncode, json.loads(found.stdout)) == (0, [])
    assert (wrong.returncode, bad.returncode) == (2, 2)
    assert "forbidden" in wrong.stderr
    assert "unauthenticated" in bad.stderr


def test_a_password_is_asked_for_beside_the_token_not_in_it(tmp_path: Path) -> None:
    env = {"ORDER_URL": NOWHERE}

    ran = program("login", "ana@example.org", cwd=tmp_path, env=env, typed="secret\n")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Password" in ran.stderr
    assert "does not answer" in ran.stderr


@pytest.fixture
def proxy() -> Iterator[str]:
    """Run what stands before a service that is gone: it answers pages."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(502)
            self.end_headers()
            self.wfile.write(b"<html>Bad Gateway</html>")

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_doctor_tells_of_pages_and_of_who_does_not_answer(pedido: Pedido, proxy: str) -> None:
    env = addresses(proxy) | {"PEDIDO_TOKEN": "t"}

    ran = pedido("--output", "json", "doctor", env=env)

    found = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert [(each["service"], each["finding"]) for each in found[:2]] == [
        ("order", "not ready: order: 502, and no JSON object"),
        ("order", "order: 502, and no JSON object"),
    ]
    assert [each["service"] for each in found[2:]] == ["inventory", "payment", "notification"]
    assert all("does not answer" in each["finding"] for each in found[2:])


def addresses(order: str) -> dict[str, str]:
    """Name order-service, and nobody at the others."""
    others = {f"{name}_URL": NOWHERE for name in ("INVENTORY", "PAYMENT", "NOTIFICATION")}
    return {"ORDER_URL": order} | others


@pytest.mark.saga
async def test_the_doctor_tells_what_it_can_see_while_the_broker_is_away(
    stack: Stack, services: Deployment, tmp_path: Path
) -> None:
    services.overrides["order"] = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    await services.start("order")
    env = addresses(services.url("order"))
    token = {"PEDIDO_TOKEN": signed(stack.signing_key.read_text(), "operator")}
    words = ("consumers", "pause", "order", "--note", "stocktaking", "--yes")
    assert program(*words, cwd=tmp_path, env=env | token).returncode == 0

    seen = program("--output", "json", "doctor", cwd=tmp_path, env=env | token)
    nobody = program("doctor", cwd=tmp_path, env=env)

    order = [each for each in json.loads(seen.stdout) if each["service"] == "order"]
    assert seen.returncode == 1
    assert any("consumer PAUSED" in each["finding"] for each in order)
    assert any("then look again" in each["remedy"] for each in order)
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert "no token" in nobody.stderr
