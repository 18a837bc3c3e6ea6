"""Explains connection failures in a sentence for operators, without address or password."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from .errors import is_connection_error

if TYPE_CHECKING:
    from .connection import Connection

MIN_VERSION: Final = 16
"""The first Postgres that grants membership without inheritance, which keeps agencies apart."""
TOO_OLD: Final = "Postgres 16 or newer is needed; this is {}."
BROKEN: Final = "The connection to Postgres broke off: it was stopped or restarted, or the network failed. Try again."

FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What is raised where a database cannot be reached, refuses something, or is lost meanwhile."""

PASSING: Final = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What the server refuses now and may do later."""


class TooOld(Exception):
    """The server is older than the minimum version."""


def require_version(connection: asyncpg.Connection | Connection) -> None:
    """Raises ``TooOld``. Checked first: on an older server other checks are meaningless."""
    if connection.get_server_version().major < MIN_VERSION:
        raise TooOld(TOO_OLD.format(connection.get_settings().server_version.partition(" ")[0]))


def may_pass(error: BaseException, db: asyncpg.Connection | None = None) -> bool:
    """Whether the failure may be temporary: nothing listens yet, the server is starting, a lock is held.

    So may be the loss of ``db``, the connection that was used; a wrong URL is not.
    """
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, PASSING) or is_connection_error(error)
    return _is_lost(db) or not isinstance(error, asyncpg.InterfaceError)


def sentence(error: BaseException, url: str, db: asyncpg.Connection | None = None) -> str:
    """What went wrong while connecting to ``url``, or later on ``db``, and what to look at."""
    if isinstance(error, asyncpg.InterfaceError) and _is_lost(db):
        return BROKEN
    user, database = role_of(url) or "the role of this process's user", _database(url)
    details = str(error)
    match error:
        case TooOld():
            return details
        case asyncpg.InvalidPasswordError():
            return f"The password of role {user} is wrong, or there is no such role."
        case asyncpg.InvalidAuthorizationSpecificationError():
            return _not_admitted(details, user)
        case asyncpg.InvalidCatalogNameError():
            return f"There is no database {database}: an administrator makes it (CREATE DATABASE)."
        case asyncpg.InsufficientPrivilegeError():
            return f"Role {user} may not do that: {_first_line(details)}."
        case asyncpg.CannotConnectNowError():
            return "Postgres is starting or stopping: try again in a moment."
        case asyncpg.TooManyConnectionsError():
            return "Postgres has no connection left: raise max_connections, or end what holds them."
        case asyncpg.PostgresError():
            return _refused(error)
        case _:
            return _no_answer(error)


def _is_lost(db: asyncpg.Connection | None) -> bool:
    return db is not None and db.is_closed()


def role_of(url: str) -> str | None:
    """The role a URL signs in as; None where it is left to the driver."""
    user = urlsplit(url).username
    return None if user is None else unquote(user)


def _refused(error: asyncpg.PostgresError) -> str:
    match error:
        case asyncpg.LockNotAvailableError() | asyncpg.QueryCanceledError():
            return "The database is busy: somebody else holds a lock for long. Nothing was changed; try again."
        case asyncpg.ReadOnlySQLTransactionError():
            return "The database takes no writes: a standby, or read-only after a failover or with a full disk."
        case asyncpg.PostgresConnectionError() | asyncpg.AdminShutdownError() | asyncpg.CrashShutdownError():
            return BROKEN
        case _:
            return f"Postgres refuses: {_first_line(str(error))}."


def _not_admitted(details: str, user: str) -> str:
    if "does not exist" in details:
        return f"There is no role {user}: an administrator makes it (CREATE ROLE {user} LOGIN)."
    if "eer authentication" in details or "dent authentication" in details:
        return (
            f"Postgres admits role {user} by the name of the system's user alone (peer in pg_hba.conf): run as that "
            "user, or connect over TCP with a password."
        )
    if "pg_hba.conf" in details:
        return f"No line of pg_hba.conf admits role {user} to this database from here."
    if "not permitted to log in" in details:
        return f"Role {user} may not sign in: ALTER ROLE {user} LOGIN."
    return f"Postgres does not admit role {user}."


def _no_answer(error: BaseException) -> str:
    match error:
        case ConnectionRefusedError() | FileNotFoundError():
            return "Nothing listens where the URL points: is Postgres running, and is the port right?"
        case ConnectionError():
            return BROKEN
        case socket.gaierror():
            return "The host of the URL is not known: is its name right?"
        case ssl.SSLError():
            return "The encryption cannot be agreed on: look at sslmode in the URL and at the server's certificate."
        case TimeoutError():
            return "The database does not answer in time: a firewall, or the wrong host?"
        case OSError() if isinstance(error.__cause__, OSError):
            return _no_answer(error.__cause__)
        case _:
            return f"The database cannot be reached: {type(error).__name__}."


def _database(url: str) -> str:
    return unquote(urlsplit(url).path.lstrip("/")) or "of the role's name"


def _first_line(details: str) -> str:
    return details.partition("\n")[0].rstrip(".")
