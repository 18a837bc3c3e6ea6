"""nginx and Caddy of the machine's packages, run on a test's own ports with the files of ``deploy/``."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.waiting import until

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "agency.example.com"
STOP_SECONDS = 30.0
"""Caddy notices that a stream's client has left at the next heartbeat, and waits for that."""
REQUIRED = "VOYAGENT_PROXIES_REQUIRED"
"""Set by ``make proxies``, where a missing proxy is a failure."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that runs, and the clients that reach it by the service's public name."""

    url: str
    plain_url: str
    """Without TLS."""
    log: Path

    @asynccontextmanager
    async def client(self, address: str = "127.0.0.1") -> AsyncIterator[aiohttp.ClientSession]:
        """A client at this address of the loopback network."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connector = aiohttp.TCPConnector(resolver=Loopback(), ssl=context, local_addr=(address, 0), limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield session


class Loopback(AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


def program(name: str) -> str:
    """The path of a proxy's program; without it the test is skipped, or fails where it is required."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        reason = f"{name} is not installed: apt-get install {name}"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with each pattern replaced, which has to occur."""
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, f"{pattern} does not occur"
    return text


@asynccontextmanager
async def nginx(folder: Path, upstream: str, *, inserted: str = "", site: str | None = None) -> AsyncIterator[Proxy]:
    """The proxy nginx with ``deploy/nginx.conf``, or another site; ``inserted`` stands before it, as defaults do."""
    binary = program("nginx")
    port, plain = free_ports(2)
    certificate(folder)
    if site is None:
        site = changed(
            (DEPLOY / "nginx.conf").read_text(),
            (r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            (r"listen 80;", f"listen 127.0.0.1:{plain};"),
            (r"^\s*listen \[::\]:.*\n", ""),
            (r"/etc/letsencrypt/live/agency\.example\.com/(\w+)\.pem", f"{folder}/\\1.pem"),
            (r"127\.0\.0\.1:8010", upstream),
        )
    else:
        site = site.format(port=port, upstream=upstream)
    folders = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{ access_log off;\n{folders}{inserted}\n{site}\n}}\n"
    )
    words = (binary, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"))
    scheme = "https" if "ssl" in site else "http"
    async with _running(words, port, folder / "error.log"):
        yield Proxy(f"{scheme}://{HOST}:{port}", f"http://{HOST}:{plain}", folder / "error.log")


@asynccontextmanager
async def caddy(folder: Path, upstream: str, *, inserted: str = "") -> AsyncIterator[Proxy]:
    """Caddy with ``deploy/Caddyfile`` and certificates of its own authority. It has no time-outs to insert."""
    assert not inserted
    binary = program("caddy")
    port, plain = free_ports(2)
    options = (
        f"admin off\nhttp_port {plain}\nhttps_port {port}\nlocal_certs\nskip_install_trust\ndefault_bind 127.0.0.1\n"
    )
    site = changed((DEPLOY / "Caddyfile").read_text(), (r"127\.0\.0\.1:8010", upstream))
    (folder / "Caddyfile").write_text(f"{{\n{options}}}\n{site}")
    words = (binary, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile")
    homes = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    async with _running(words, port, folder / "caddy.log", homes):
        yield Proxy(f"https://{HOST}:{port}", f"http://{HOST}:{plain}", folder / "caddy.log")


Start = Callable[..., Any]
PROXIES: dict[str, Start] = {"nginx": nginx, "caddy": caddy}


@asynccontextmanager
async def _running(
    words: tuple[str, ...], port: int, log: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[None]:
    async with AsyncExitStack() as parts:
        output = parts.enter_context(log.open("ab"))
        process = await asyncio.create_subprocess_exec(
            *words, env={"PATH": os.environ["PATH"], **(environ or {})}, stdout=output, stderr=output
        )
        try:
            await until(lambda: process.returncode is not None or _listens(port))
            assert process.returncode is None, log.read_text()
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), STOP_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def certificate(folder: Path) -> None:
    """A certificate for the host, signed by itself, where the proxy's file looks for one."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(signed.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
