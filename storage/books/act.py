"""How a document is changed: judged on locked rows, then written, in one transaction.

A refusal is a value: what a person approved is judged again when it runs, and what the judgement finds is reported.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from ...actors.domain.documents import Accounts, InvalidDocument
from ..engine.operations import Command
from ..general_ledger import chart

if TYPE_CHECKING:
    from ..engine.connection import Connection

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('voyagent.books' || $1, 0))"
"""Runs with one key wait for each other, so that the later ones find what the first has done."""
P = TypeVar("P")
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(Command[D | InvalidDocument], Generic[P, D]):
    """One change of the books: ``prepare`` judges it, ``carry_out`` writes it. ``key`` is carried out once."""

    tenant_id: str
    key: str
    by: str
    session_id: str | None
    today: date
    now: datetime

    async def run(self, db: Connection) -> D | InvalidDocument:
        await db.execute(ONE_AT_A_TIME, f"{self.tenant_id}\n{self.key}")
        try:
            earlier = await self.carried_out(db)
            return await self.carry_out(db, await self.prepare(db)) if earlier is None else earlier
        except InvalidDocument as refused:
            return refused

    @abstractmethod
    async def prepare(self, db: Connection) -> P:
        """What will be done, with its rows locked. Writes nothing; raises ``InvalidDocument``."""

    @abstractmethod
    async def carry_out(self, db: Connection, prepared: P) -> D:
        """Do it. Raises ``InvalidDocument`` only before anything is written."""

    async def carried_out(self, db: Connection) -> D | None:
        """What an earlier run with this key has done."""
        del db
        return None

    async def accounts(self, db: Connection) -> Accounts:
        """The agency's accounts by code."""
        return {each.code: each for each in await chart(db, self.tenant_id, self.now)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge(Command[P | InvalidDocument], Generic[P, D]):
    """What an act would do now, or why it would not be done."""

    act: Act[P, D]

    async def run(self, db: Connection) -> P | InvalidDocument:
        try:
            return await self.act.prepare(db)
        except InvalidDocument as refused:
            return refused
