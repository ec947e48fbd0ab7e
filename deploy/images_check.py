#!/usr/bin/env python3
"""Builds the four images without a container engine and proves what they promise.

Each holds one service and no other, has nothing that installs software, runs as uid 10001 without
privileges on a read-only root, and answers its liveness probe with every dependency away. Needs
root; the base is this machine's own Debian, fetched through the machine's own mirror and kept in
.local/images.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".local" / "images"
BASE = "localhost/pedido/python"
SERVICES = ("order", "inventory", "payment", "notification")
UID = 10001
AWAY = "127.0.0.1:9"
"""Nobody listens on the discard port."""
ENVIRONMENT = {
    "APP_ENV": "development",
    "DATABASE_URL": f"postgresql://nobody:nothing@{AWAY}/pedido",
    "DB_SCHEMA": "away",
    "KAFKA_BOOTSTRAP_SERVERS": AWAY,
    "REDIS_URL": f"redis://{AWAY}",
    "SMTP_URL": f"smtp://{AWAY}",
    "PAYMENT_GATEWAY_URL": f"http://{AWAY}",
    "PAYMENT_GATEWAY_KEY": "nothing",
    "JWT_JWKS_URL": f"http://{AWAY}/.well-known/jwks.json",
}
LIVE_WITHIN_SECONDS = 60.0
STOPPED_WITHIN_SECONDS = 30.0
"""A service promises to be gone 20 s after a SIGTERM."""
CONFINED = """
mount --bind "$0" "$0"
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc"
mount -o remount,bind,ro "$0"
exec setpriv --no-new-privs chroot --userspec={uid}:{uid} "$0" "$@"
"""


class CheckError(Exception):
    """An image does not hold what it promises, or could not be built."""


def run(*command: str | Path) -> str:
    """Run a command and return what it prints; what it complains about goes into the failure."""
    done = subprocess.run(  # noqa: S603  our own commands
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        message = f"{' '.join(map(str, command))} ended with {done.returncode}:\n{tail}"
        raise CheckError(message)
    return done.stdout


def buildah(*arguments: str | Path) -> str:
    """Run buildah on a storage of our own, which needs nothing of the kernel."""
    storage = ("--root", CACHE / "storage", "--runroot", CACHE / "run")
    return run("buildah", "--storage-driver", "vfs", *storage, *arguments).strip()


def need_tools() -> None:
    """Install what is missing of the two tools, as root on Debian."""
    if os.geteuid() != 0:
        message = "run this as root: it mounts, and changes its user"
        raise CheckError(message)
    missing = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]
    if missing:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing)


def need_base() -> None:
    """Make an image of a small Debian with Python, once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if BASE in buildah("images", "--format", "{{.Name}}").splitlines():
        return
    codename = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    if codename is None:
        message = "this machine has no codename of a Debian release"
        raise CheckError(message)
    container = buildah("from", "scratch")
    target = Path(buildah("mount", container))
    packages = "--include=python3,python3-pip,ca-certificates"
    run("debootstrap", "--variant=minbase", packages, codename[1], target, debian_mirror())
    for downloaded in (target / "var/cache/apt/archives").glob("*.deb"):
        downloaded.unlink()
    buildah("commit", "--quiet", "--rm", container, BASE)


def debian_mirror() -> str:
    """Find where this machine gets its Debian packages from."""
    sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").iterdir()]
    for source in sources:
        text = source.read_text() if source.is_file() else ""
        found = re.search(r"(?m)^(?:URIs:|deb(?: \[[^]]*\])?) *(\S+/debian)/?(?:\s|$)", text)
        if found:
            return found[1]
    message = "no Debian mirror in the sources of apt"
    raise CheckError(message)


def build(service: str) -> str:
    """Build the image of one service; return its name."""
    image = f"localhost/pedido/{service}-service"
    certificates = "/etc/ssl/certs"
    buildah(
        *("bud", "--isolation", "chroot", "--file", "deploy/Dockerfile", "--tag", image),
        *("--build-arg", f"PYTHON_IMAGE={BASE}", "--build-arg", f"SERVICE={service}"),
        *("--volume", f"{certificates}:{certificates}:ro"),
        *("--volume", f"{pip_configuration()}:/etc/pip.conf:ro"),
        ".",
    )
    return image


def pip_configuration() -> Path:
    """Write down which index this machine uses, and whom it trusts, for pip inside the build."""
    configuration = run("pip", "config", "list") if shutil.which("pip") else ""
    wanted = r"(?m)^\S+\.(index-url|extra-index-url|trusted-host|proxy|cert)='(.*)'$"
    lines = {f"{key} = {value}" for key, value in re.findall(wanted, configuration)}
    path = CACHE / "pip.conf"
    path.write_text("\n".join(["[global]", *sorted(lines), ""]))
    return path


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """Give the files of an image."""
    container = buildah("from", "--pull-never", image)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("rm", container)


def check_files(service: str, root: Path) -> None:
    """Find this service's code and nobody else's, and nothing that installs software."""
    packages = {path.name for path in root.glob("**/*_service") if path.is_dir()}
    if packages != {f"{service}_service"}:
        message = f"the image of {service} holds {sorted(packages)}"
        raise CheckError(message)
    strangers = [
        name for name in ("tests", "tools", "docs", ".git") if (root / "app" / name).exists()
    ]
    installers = [path for path in root.glob("**/pip/__main__.py") if path.is_file()]
    if strangers or installers:
        message = f"the image of {service} also holds {[*strangers, *map(str, installers)]}"
        raise CheckError(message)


def check_live(image: str, root: Path) -> None:
    """Start the image's own command, confined, and see it live and end well."""
    config = json.loads(buildah("inspect", "--type", "image", image))["OCIv1"]["config"]
    if config["User"] != f"{UID}:{UID}":
        message = f"{image} runs as {config.get('User')!r}"
        raise CheckError(message)
    port = free_port()
    with (CACHE / "output.log").open("w+b") as output:
        process = start(config, root, port, output)
        try:
            await_live(process, port)
            check_identity(process.pid)
            stop(process)
        except (CheckError, subprocess.TimeoutExpired) as error:
            output.seek(0)
            message = f"{image}: {error}\n{output.read().decode()[-4000:]}"
            raise CheckError(message) from error
        finally:
            process.kill()
            process.wait()


def start(config: dict[str, Any], root: Path, port: int, output: Any) -> subprocess.Popen[bytes]:
    """Run what the image would run; every program on the way becomes the next, so one id is all."""
    given = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    environment = ["env", "-i", *config["Env"], *given, f"PORT={port}"]
    command = [*config["Entrypoint"], *config["Cmd"]]
    confined = ["unshare", "--mount", "sh", "-ec", CONFINED.format(uid=UID), str(root)]
    return subprocess.Popen(  # noqa: S603  the image's own command
        [*confined, *environment, *command],
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def await_live(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for the liveness probe's good answer."""
    deadline = time.monotonic() + LIVE_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            message = f"ended with {process.returncode} instead of living"
            raise CheckError(message)
        try:
            url = f"http://127.0.0.1:{port}/api/v1/health/live"
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    message = f"not live in {LIVE_WITHIN_SECONDS:.0f} s"
    raise CheckError(message)


def check_identity(pid: int) -> None:
    """See with the kernel's eyes that the process has no privilege and can't get any."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    if status["Uid"].split() != [str(UID)] * 4 or int(status["CapEff"], 16):
        message = f"runs with uid {status['Uid']} and capabilities {status['CapEff']}"
        raise CheckError(message)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process as an orchestrator does."""
    process.terminate()
    if code := process.wait(STOPPED_WITHIN_SECONDS):
        message = f"ended with {code} after SIGTERM"
        raise CheckError(message)


def free_port() -> int:
    """Ask the kernel for a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def main() -> int:
    """Check the images of all services, or of those named as arguments."""
    started = time.monotonic()
    try:
        need_tools()
        need_base()
        for service in sys.argv[1:] or SERVICES:
            image = build(service)
            with mounted(image) as root:
                check_files(service, root)
                check_live(image, root)
            sys.stdout.write(f"{image}: alone, unprivileged, live\n")
            sys.stdout.flush()
    except CheckError as error:
        sys.stderr.write(f"images: {error}\n")
        return 1
    sys.stdout.write(f"images checked in {time.monotonic() - started:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
