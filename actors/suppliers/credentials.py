"""An agency's token for a supplier: its own, sealed in the database, before the one of the environment."""

from __future__ import annotations

from collections.abc import Mapping

from ...storage.engine.sealing import NotOpened, Sealing
from ...storage.travel import supplier_credentials
from ..domain.errors import Unavailable
from ..foundation import log
from ..foundation.clock import Clock
from ..runtime.actor import Recipient
from .protocols import SupplierError

FRESH_SECONDS = 15.0
"""How long a token is used before it is read again: so long after a change the former one may still be sent."""

_log = log.get(__name__)


class Credential:
    """Reads the token for each request, a few seconds from memory."""

    def __init__(
        self,
        *,
        tenant_id: str,
        supplier: str,
        store: Recipient,
        clock: Clock,
        sealing_keys: Mapping[str, bytes],
        fallback: str | None,
    ) -> None:
        self._tenant_id = tenant_id
        self._supplier = supplier
        self._store = store
        self._clock = clock
        self._sealing = Sealing(sealing_keys)
        self._fallback = fallback
        self._token: str | None = None
        self._read_at: float | None = None

    async def __call__(self) -> str:
        """The token. ``capability_not_supported`` if the agency has none: the supplier is off for it."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= FRESH_SECONDS:
            self._token, self._read_at = await self._load(), now
        if self._token is None:
            text = f"{self._supplier} is not set up for this agency"
            raise SupplierError("capability_not_supported", text, sent=False)
        return self._token

    async def _load(self) -> str | None:
        load = supplier_credentials.Load(tenant_id=self._tenant_id, supplier=self._supplier)
        try:
            sealed = await self._store.ask(load)
        except Unavailable as unavailable:
            raise SupplierError("transient", "the agency's token cannot be read now", sent=False) from unavailable
        if sealed is None:
            return self._fallback
        try:
            return unseal(self._sealing, sealed, self._tenant_id, self._supplier)
        except NotOpened as wrong:
            _log.error("supplier_credentials_not_opened", supplier=self._supplier, reason=str(wrong))
            text = "the agency's token for this supplier cannot be opened"
            raise SupplierError("authentication", text, sent=False) from wrong


def seal(sealing: Sealing, token: str, tenant_id: str, supplier: str) -> bytes:
    """A token as it is stored; it opens for this agency and supplier alone."""
    return sealing.seal(
        token.encode(), table=supplier_credentials.TABLE, column="sealed", row=f"{tenant_id}/{supplier}"
    )


def unseal(sealing: Sealing, sealed: bytes, tenant_id: str, supplier: str) -> str:
    """The inverse of ``seal``. Raises ``NotOpened``."""
    row = f"{tenant_id}/{supplier}"
    return sealing.open(sealed, table=supplier_credentials.TABLE, column="sealed", row=row).decode()
