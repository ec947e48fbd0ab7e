"""Runs stripe-mock: Stripe's own judge of requests, by Stripe's OpenAPI, built with Go."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from devstack.ports import LOCALHOST, accepts, free_port
from devstack.processes import Processes, Program
from devstack.topology import CACHE

_VERSION = "v0.197.0"
_MODULE = "github.com/stripe/stripe-mock"
_BUILD_SECONDS = 600


def can_build() -> bool:
    """Tell whether there is a Go to build it with, or it was built before."""
    return _binary().exists() or shutil.which("go") is not None


def build() -> Path:
    """Build it once; its module's checksums come from Go's own database."""
    binary = _binary()
    if not binary.exists():
        go = shutil.which("go")
        if go is None:
            raise FileNotFoundError("there is no `go` on PATH")
        home = CACHE / "go"
        subprocess.run(  # noqa: S603  our own words
            [go, "install", f"{_MODULE}@{_VERSION}"],
            env={
                **os.environ,
                "GOPATH": str(home),
                "GOBIN": str(binary.parent),
                "GOCACHE": str(home / "build"),
                "GOFLAGS": "-modcacherw",
            },
            timeout=_BUILD_SECONDS,
            check=True,
        )
    return binary


async def start(processes: Processes) -> str:
    """Start it and return its URL."""
    port = free_port()
    command = [str(build()), "-http-addr", f"{LOCALHOST}:{port}"]
    server = processes.spawn(Program("stripe-mock", command))

    async def listens() -> bool:
        return await accepts(port)

    await server.ready(listens)
    return f"http://{LOCALHOST}:{port}"


def _binary() -> Path:
    return CACHE / "go" / _VERSION / "stripe-mock"
