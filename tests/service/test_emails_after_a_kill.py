"""A email outlives the process: what an act promised goes out after the plug was pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import asyncpg
import pytest

from tests.mail_server import MailServer
from tests.service.process import Service

if TYPE_CHECKING:
    from typing import Any


@pytest.mark.usefixtures("player")
async def test_r53_a_kill_between_act_and_delivery_loses_no_email(
    service: Service,
    database: Any,
) -> None:
    async with MailServer() as mail_server, aiohttp.ClientSession() as http:
        mail_server.silent = True
        service.environ["VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION"] = "false"
        service.environ["VOYAGENT_SMTP_URL"] = mail_server.url
        await service.start()
        person = {"email": "a@example.com", "password": "a long password 1", "full_name": "A", "agency_name": "A"}
        async with http.post(f"{service.url}/auth/sign-up", json=person) as answer:
            assert answer.status == 201
        await mail_server.had(callers=1)
        await service.kill()
        mail_server.silent = False
        db = await asyncpg.connect(database.admin_url)
        assert await db.fetchval("SELECT state FROM outbox") == "due"
        await db.execute("UPDATE outbox SET due_at = now()")  # the lease of the killed process has ended
        await service.start()
        await mail_server.had(emails=1)
        token = await mail_server.token("Confirm your e-mail address")
        async with http.post(f"{service.url}/auth/verify-email", json={"token": token}) as answer:
            assert answer.status == 200
        assert len(mail_server.emails) == 1
        await db.close()
