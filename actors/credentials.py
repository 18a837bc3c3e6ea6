"""Operators' commands for agencies' supplier credentials. A token is never an argument, and never printed."""

from __future__ import annotations

import getpass
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..storage.accounts import agencies
from ..storage.engine import fitness
from ..storage.engine.pool import Engine
from ..storage.engine.sealing import Sealing, key_id
from ..storage.travel import supplier_credentials
from ..storage.travel.supplier_credentials import Kept
from . import sealing_keys
from .domain import ids
from .domain.audit import AuditEvent
from .foundation.config import ConfigurationError, Settings, database_url, variable
from .suppliers.credentials import seal
from .suppliers.drivers import SUPPLIERS

TOKEN_LENGTH = 4096
"""Characters of a token at most."""


def read_token(path: Path | None) -> str:
    """The token from a file or from standard input, without the blanks around it. ConfigurationError if it is none.

    At a terminal it is asked for and not shown.
    """
    try:
        text = _read(path)
    except (UnicodeDecodeError, EOFError):
        text = ""
    token = text.strip()
    if not token or len(token) > TOKEN_LENGTH or not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError(["The token is empty, too long, or not one word of ASCII characters."])
    return token


def _read(path: Path | None) -> str:
    if path is not None:
        return path.read_text()
    with _interruptible():
        return getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.read(TOKEN_LENGTH + 2)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a read that blocks: the event loop's handler would wait for the command's next await."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def put(settings: Settings, tenant_id: str, supplier: str, token: str) -> bool:
    """Seal and store an agency's token; true if it replaces one. The running service uses it within seconds."""
    known = SUPPLIERS.get(supplier)
    if known is None or not known.has_credentials:
        raise ConfigurationError([f"{supplier!r} is no supplier that takes a token."])
    if not known.is_credential(token):
        raise ConfigurationError([f"This is no token of {supplier!r}."])
    if not settings.sealing_keys:
        raise ConfigurationError([f"{variable('kms_key')}: must be set: a token is stored sealed"])
    await sealing_keys.require_known(settings, database_url(settings))
    now = datetime.now(UTC)
    async with fitness.opened(database_url(settings)) as engine:
        agency = await _agency(engine, tenant_id)
        sealed = seal(Sealing(settings.sealing_keys), token, agency, supplier)
        return await engine.run(
            supplier_credentials.Put(
                tenant_id=agency,
                id=ids.uuid7(),
                supplier=supplier,
                sealed=sealed,
                key_id=key_id(sealed),
                now=now,
                entries=[AuditEvent.by_system("supplier_credential.set", agency, now, inputs={"supplier": supplier})],
            )
        )


async def remove(settings: Settings, tenant_id: str, supplier: str) -> bool:
    """Delete an agency's token; false if there is none."""
    now = datetime.now(UTC)
    async with fitness.opened(database_url(settings)) as engine:
        agency = await _agency(engine, tenant_id)
        entries = [AuditEvent.by_system("supplier_credential.removed", agency, now, inputs={"supplier": supplier})]
        return await engine.run(supplier_credentials.Remove(tenant_id=agency, supplier=supplier, entries=entries))


async def listed(settings: Settings, tenant_id: str) -> Sequence[Kept]:
    """An agency's credentials, without their values."""
    async with fitness.opened(database_url(settings)) as engine:
        return await engine.run(supplier_credentials.All(tenant_id=await _agency(engine, tenant_id)))


async def _agency(engine: Engine, tenant_id: str) -> str:
    """The canonical id of an agency there is."""
    known = ids.parse_uuid(tenant_id)
    if known is None or known not in {agency.id for agency in await engine.run(agencies.All())}:
        raise ConfigurationError([f"{tenant_id!r} is the id of no agency; python run.py audit verify lists them."])
    return known
