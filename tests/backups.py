"""The scripts of ``deploy/`` that back up and restore, run with the embedded server's own programs."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import asyncpg

if TYPE_CHECKING:
    from tests.conftest import Database
    from voyagent.storage.embedded.servers import EmbeddedServers

DEPLOY = Path(__file__).parents[1] / "deploy"
BACKUP = "voyagent_backup"
ROLES = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{BACKUP}') THEN
        CREATE ROLE {BACKUP} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS;
        GRANT pg_read_all_data TO {BACKUP};
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'voyagent_owner') THEN
        CREATE ROLE voyagent_owner NOLOGIN;
    END IF;
END $$
"""
"""As ``deploy/roles.sql`` makes them."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Postgres's programs, on this test's server."""

    servers: EmbeddedServers
    folder: Path
    """Where the dumps go."""

    @classmethod
    async def on(cls, servers: EmbeddedServers, database: Database, folder: Path) -> Tools:
        """The programs, and the roles they need."""
        admin = await asyncpg.connect(database.admin_url)
        await admin.execute(ROLES)
        await admin.close()
        (folder / "backups").mkdir()
        return cls(servers, folder / "backups")

    async def run(self, words: list[str], user: str, database: str, given: bytes = b"") -> tuple[int, str]:
        """A script's or program's exit status and what it printed."""
        binaries = self.servers.postgres._bin
        environ = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PGHOST": parse_qs(urlsplit(self.servers.url).query)["host"][0],
            "PGUSER": user,
            "PGDATABASE": database,
            "VOYAGENT_BACKUP_KEEP": "2",
        }
        process = await asyncio.create_subprocess_exec(
            *words,
            env=environ,
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(given), 60)
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def backup(self, database: str, user: str = BACKUP) -> tuple[int, str]:
        """Dump a database; the last line that is printed is the file."""
        return await self.run(["sh", str(DEPLOY / "backup"), str(self.folder)], user, database)

    async def restore(self, dump: bytes, database: str, *options: str) -> tuple[int, str]:
        """Restore a dump into a new database."""
        return await self.run(["sh", str(DEPLOY / "restore"), database, *options], "postgres", "postgres", dump)

    async def copy(self, database: str, *options: str) -> str:
        """The name of a new database, restored from a dump of this one."""
        status, told = await self.backup(database)
        assert status == 0, told
        name = f"{database}_restored"
        status, told = await self.restore(Path(told.splitlines()[-1]).read_bytes(), name, *options)
        assert (status, told.splitlines()[-1]) == (0, f"{name} is restored"), told
        return name
