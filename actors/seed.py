"""Creates a demo agency with one user of each role."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from ..storage.accounts.users import AddMember
from .accounts.actor import AccountsActor, SignUp
from .accounts.passwords import Passwords
from .database import StorageActor
from .domain import ids
from .domain.audit import Origin
from .domain.identity import Role
from .foundation.clock import Clock
from .foundation.config import Settings

AGENCY = "Demo Travels"
DOMAIN = "demo.example"
SHUTDOWN = 10.0
SIGN_UP = 120.0
"""Seconds: threads that hash have a low priority, so on a busy machine one hash takes long, and nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo users and their common password."""

    people: tuple[tuple[Role, str], ...]
    password: str


async def seed(settings: Settings) -> Demo:
    """Create the demo agency. Conflict ``email_already_registered`` if it exists.

    No housekeeping runs meanwhile, so a service running on the same database is not affected.
    """
    clock = Clock()
    password = f"demo-{secrets.token_hex(8)}-1"
    people = tuple((role, f"{role.replace('_', '.')}@{DOMAIN}") for role in Role)
    storage = StorageActor.start(settings.db_url)
    accounts = AccountsActor.start(storage, settings, clock)
    hashing = Passwords(
        time_cost=settings.auth_argon2_time_cost,
        memory_cost=settings.auth_argon2_memory_cost,
        parallelism=settings.auth_argon2_parallelism,
        workers=1,
    )
    try:
        (_, admin), *others = people
        created = await accounts.ask(
            SignUp(
                email=admin,
                password=password,
                full_name="Demo Admin",
                agency_name=AGENCY,
                origin=Origin(request_id=ids.uuid7()),
            ),
            within=SIGN_UP,
        )
        for role, email in others:
            await storage.ask(
                AddMember(
                    tenant_id=created.principal.tenant_id,
                    user_id=ids.uuid7(),
                    email=email,
                    role=role,
                    now=clock.now(),
                    password_hash=await hashing.hash(password),
                    full_name=f"Demo {role.replace('_', ' ').title()}",
                )
            )
    finally:
        hashing.close()
        await accounts.stop_and_wait(SHUTDOWN)
        await storage.stop_and_wait(SHUTDOWN)
    return Demo(people, password)
