"""The command line of ``run.py``: its commands and options, with help that says what to expect of each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

DONE: Final = 0
FAILED: Final = 1
MISCONFIGURED: Final = 2
FOUND: Final = 3
UNAVAILABLE: Final = 75
"""``EX_TEMPFAIL`` of sysexits.h."""
INTERRUPTED: Final = 130
"""As a shell reports a process ended by SIGINT."""

LONGEST_WAIT: Final = 86_400.0
"""Seconds: a day."""

EXITS: Final = """\
exit status:
  0    done
  1    failed; standard error says why
  2    the command line or the configuration is wrong: trying again does not help
  3    a check has found something: doctor, audit verify, migrate --check, keys
  75   the database does not answer: try again later
  130  interrupted
"""

ABOUT: Final = """\
The Voyagent service and its operator commands.

Settings are read from the environment, over .env in the working directory; .env.example lists them all. Without
--embedded this is production unless VOYAGENT_ENV says otherwise, and an unsafe configuration is refused by name.
"""

SERVE: Final = """\
Serve until SIGTERM, SIGINT or SIGHUP. Running turns get VOYAGENT_DRAIN_SECONDS to finish; a second signal
exits at once.

In development pending migrations are run first. In production they are not: the service's role must not own the
tables. Without a database it starts, answers 503, and serves as soon as there is one.
"""

MIGRATE: Final = """\
Bring the tables of the database to this release, in one transaction, and grant the service's role what it needs.

In production this needs an environment of its own: VOYAGENT_DB_MIGRATE_URL is the owner of the tables, whom the
service must not know; of VOYAGENT_DB_URL only the name of the service's role is used. No other setting is read.

  python run.py migrate --check        is a migration due? Nothing is changed
  python run.py migrate --wait 60      as a unit that is started together with the database
"""

OPENAPI: Final = """\
Print the OpenAPI document of this release; needs no configuration.

  python run.py openapi > openapi.json
"""

DOCTOR: Final = """\
Use each part as the service would: sign in to the database, write to Redis, ask the model for a token, hold a whole
SMTP dialogue. One line each:

  ok   it works
  --   it does not; the service starts all the same, and the next line says how to mend it
  NO   it does not, and the service cannot serve without it (exit status 3)
"""

SEED: Final = """\
Create a demo agency: people of each role, and work they did over HTTP with the rehearsal model. Prints their password,
which nothing can show later. A second run changes nothing.
"""

AUDIT: Final = """\
Recompute the chain of audit events of every agency and compare its end with the head signed last
(VOYAGENT_DATA_DIR/audit/heads.jsonl). One line an agency; a broken chain is named by its first wrong row, and the exit
status is 3. After an older backup was restored the signed heads are newer than the database: see deploy/README.md.
"""

KEYS: Final = """\
The rotation of VOYAGENT_KMS_KEY, the keys that seal secrets at rest:

  1. Put a new key in front (VOYAGENT_KMS_KEY=new:KEY,old:KEY) and restart the service: the first seals, all open.
  2. python run.py keys reseal --wait 60     or wait: the service seals everything again by itself, within the hour
  3. python run.py keys list                 says when nothing needs the old key any more (exit status 0)
  4. Remove the old key, and restart the service. A start without a key that is needed is refused.

Both commands may run beside the service, and again. No key is an argument or is printed.
"""

SUPPLIER: Final = """\
An agency's own tokens for suppliers, stored sealed and audited. A running service uses a change within seconds.
No token is an argument, since every process of the machine sees those.

  python run.py audit verify                                    lists the agencies' ids
  python run.py supplier set AGENCY duffel < token              or type it when asked
  python run.py supplier list AGENCY                            what there is, without the tokens
"""


class _Parser(argparse.ArgumentParser):
    """Keeps the lines of its texts and ends its help with the exit statuses; commands' parsers are of this class."""

    def __init__(self, **more: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXITS, **more)


class _Commands:
    """Adds commands to a group; each sets ``command`` to its full name."""

    def __init__(self, parser: argparse.ArgumentParser, common: argparse.ArgumentParser, *, required: bool) -> None:
        self._group = parser.add_subparsers(title="commands", required=required, metavar="command")
        self._common = common

    def add(self, name: str, brief: str, text: str, command: str = "") -> argparse.ArgumentParser:
        """A command with its line in the list and its own help."""
        one = self._group.add_parser(name, help=brief, description=text, parents=[self._common])
        one.set_defaults(command=command or name)
        return one

    def group(self, name: str, brief: str, text: str) -> _Commands:
        """A command that has commands of its own."""
        parser = self._group.add_parser(name, help=brief, description=text)
        return _Commands(parser, self._common, required=True)


def _seconds(text: str) -> float:
    """A time to wait."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"must be seconds, from 0 to {LONGEST_WAIT:.0f}")
    return seconds


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed words, by default the process's: ``command`` is a full name, ``serve`` if none is given."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--embedded",
        action="store_true",
        default=argparse.SUPPRESS,
        help="run Postgres and Redis as child processes, with data under VOYAGENT_DATA_DIR (./var)",
    )
    parser = _Parser(description=ABOUT, parents=[common])
    parser.set_defaults(command="serve")
    commands = _Commands(parser, common, required=False)
    commands.add("serve", "serve until a signal (default)", SERVE)
    migrations = commands.add("migrate", "bring the tables to this release", MIGRATE)
    migrations.add_argument("--check", action="store_true", help="only say whether a migration is due (exit status 3)")
    wait: dict[str, Any] = {"type": _seconds, "default": 0.0, "metavar": "SECONDS"}
    migrations.add_argument("--wait", **wait, help="wait so long for the database")
    commands.add("openapi", "print the OpenAPI document", OPENAPI)
    commands.add("doctor", "try every part, and say how to mend what fails", DOCTOR)
    seeds = commands.add("seed", "create a demo agency with people and work", SEED)
    seeds.add_argument("--in-production", action="store_true", help="create its people in production, too")
    seeds.add_argument("--people-only", action="store_true", help="create no enquiries, bookings and documents")
    audits = commands.group("audit", "check the audit trail", "Check the audit trail.")
    audits.add("verify", "recompute the chain of every agency", AUDIT, "audit verify")
    keys = commands.group("keys", "the rotation of the keys that seal", KEYS)
    keys.add("list", "say what needs which key (exit status 3 while an older one is needed)", KEYS, "keys list")
    resealing = keys.add("reseal", "seal everything again with the newest key", KEYS, "keys reseal")
    resealing.add_argument("--wait", **wait, help="wait so long for what the service has to do")
    _add_supplier_commands(commands.group("supplier", "agencies' tokens for suppliers", SUPPLIER))
    return parser.parse_args(words)


def _add_supplier_commands(suppliers: _Commands) -> None:
    for name, brief in (
        ("set", "store a token, read from standard input"),
        ("list", "list an agency's tokens without showing them"),
        ("remove", "delete a token"),
    ):
        one = suppliers.add(name, brief, SUPPLIER, f"supplier {name}")
        one.add_argument("agency", help="the agency's id")
        if name != "list":
            one.add_argument("supplier", help="such as duffel")
        if name == "set":
            one.add_argument("--file", type=Path, help="read the token from this file instead")
