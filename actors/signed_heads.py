"""The heads of the audit chains, signed and kept in a file apart from the database.

Whoever owns the database can cut the end of a chain, or write a whole new one with a head that fits: neither fits the
file. A line is an agency's newest head; its MAC is made with a key derived from those that seal.
"""

from __future__ import annotations

import hmac
import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..storage.audit_chain import Point
from ..storage.audit_heads import ReadHeads
from .domain.audit import canonical, wire_time
from .foundation import log
from .foundation.clock import Clock
from .foundation.config import Settings
from .foundation.threads import in_thread
from .runtime.actor import Recipient

_PURPOSE: Final = b"voyagent audit heads"
FIELDS: Final = {"agency": str, "seq": int, "hash": str, "key_id": str, "mac": str}
_log = log.get(__name__)


class NotSigned(Exception):
    """A line of the file is malformed, or signed with a key that is not in the ring or not the one of that id."""


class HeadFile:
    """The newest signed head of each agency, a JSON line each. Written whole, so that a crash leaves the old file."""

    def __init__(self, data_dir: Path, sealing_keys: Mapping[str, bytes]) -> None:
        self.path = data_dir / "audit" / "heads.jsonl"
        self._keys = {
            kid: HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(key) for kid, key in sealing_keys.items()
        }

    def read(self) -> dict[str, Point]:
        """The heads by agency; none without a file. Raises ``NotSigned`` naming the line."""
        if not self.path.exists():
            return {}
        lines = enumerate(self._lines(), start=1)
        return dict(self._head(number, line) for number, line in lines)

    def key_ids(self) -> Counter[str]:
        """The ids of the keys that the lines say they are signed with, and how many lines each.

        A line that cannot be read says none: ``read`` names it.
        """
        lines = map(_parsed, self._lines() if self.path.exists() else ())
        return Counter(str(signed["key_id"]) for signed in lines if signed is not None)

    def faults(self) -> list[str]:
        """Keys that have signed lines and are not in the ring, in sentences."""
        return [
            f"VOYAGENT_KMS_KEY: key {kid!r} is missing, which has signed {self.path} ({lines} lines): put it back "
            "behind the key that seals until the service has signed them again; or move the file away, as evidence."
            for kid, lines in sorted(self.key_ids().items())
            if kid not in self._keys
        ]

    def write(self, heads: Mapping[str, Point], now: datetime) -> None:
        """Replace the file. Without a sealing key there is nothing to sign with: RuntimeError."""
        if not self._keys:
            raise RuntimeError("VOYAGENT_KMS_KEY is not set: nothing can be signed")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(self._line(agency, head, now) for agency, head in sorted(heads.items()))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def _lines(self) -> list[str]:
        """Bytes that are no text make a line that cannot be read."""
        return self.path.read_text("utf-8", errors="replace").splitlines()

    def _line(self, agency: str, head: Point, now: datetime) -> bytes:
        kid, key = next(iter(self._keys.items()))
        signed = {"agency": agency, "seq": head.seq, "hash": head.hash, "signed_at": wire_time(now), "key_id": kid}
        return canonical(signed | {"mac": _mac(key, signed)}) + b"\n"

    def _head(self, number: int, line: str) -> tuple[str, Point]:
        signed = _parsed(line)
        if signed is None:
            raise NotSigned(f"{self.path}: line {number} cannot be read")
        mac, key = signed.pop("mac"), self._keys.get(signed["key_id"])
        if key is None:
            kid = signed["key_id"]
            raise NotSigned(f"{self.path}: line {number} is signed with key {kid!r}, which VOYAGENT_KMS_KEY has not")
        if not hmac.compare_digest(str(mac).encode(), _mac(key, signed).encode()):
            raise NotSigned(f"{self.path}: line {number} has another signature")
        return str(signed["agency"]), Point(int(signed["seq"]), str(signed["hash"]))


class HeadSigner:
    """Signs the heads of all chains, after a look at the ones signed before."""

    def __init__(self, *, store: Recipient, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._file = HeadFile(settings.data_dir, settings.sealing_keys)

    async def sign(self, within: float) -> None:
        """Sign all heads. Of a chain that has lost a row it had, the old head is kept and an error logged.

        Raises ``NotSigned``, OSError, and what storage refuses with.
        """
        known = await in_thread(self._file.read)
        heads = await self._store.ask(ReadHeads(known=known), within=within)
        for agency in sorted(heads.lost):
            _log.error("audit_chain_rewritten", tenant=agency, seq=known[agency].seq, mend="run.py audit verify")
        kept = {agency: known[agency] for agency in heads.lost}
        await in_thread(self._file.write, {**known, **heads.now, **kept}, self._clock.now())


def _parsed(line: str) -> dict[str, Any] | None:
    """The fields of a line; None if it cannot be read."""
    try:
        signed = json.loads(line)
    except ValueError:
        return None
    fits = isinstance(signed, dict) and all(isinstance(signed.get(name), kind) for name, kind in FIELDS.items())
    return signed if fits else None


def _mac(key: bytes, signed: Mapping[str, Any]) -> str:
    return hmac.digest(key, canonical(signed), "sha256").hex()
