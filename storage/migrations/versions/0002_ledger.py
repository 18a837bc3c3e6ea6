"""The general ledger: chart of accounts, balanced journals and immutable lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alembic import op

from voyagent.storage.migrations.guards import append_only, protect, touched

revision = "0002"
down_revision = "0001"

BALANCE = """
CREATE FUNCTION voyagent_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    journal uuid := CASE WHEN TG_TABLE_NAME = 'journals' THEN (to_jsonb(NEW)->>'id')::uuid
                         ELSE (to_jsonb(NEW)->>'journal_id')::uuid END;
BEGIN
    IF NOT EXISTS (SELECT FROM journals j WHERE j.tenant_id = NEW.tenant_id AND j.id = journal AND j.line_count =
                   (SELECT count(*) FROM journal_lines l WHERE l.tenant_id = j.tenant_id AND l.journal_id = j.id))
    OR EXISTS (SELECT FROM journal_lines l WHERE l.tenant_id = NEW.tenant_id AND l.journal_id = journal
                GROUP BY l.currency HAVING coalesce(sum(l.debit), 0) <> coalesce(sum(l.credit), 0))
    THEN
        RAISE EXCEPTION 'journal % does not balance', journal
            USING ERRCODE = 'check_violation', CONSTRAINT = 'balance', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$
"""
"""A journal has the lines it says and balances in each currency: so none comes without lines, nor gets more later."""


def upgrade() -> None:
    """Make them, with their guards."""
    for statement in _statements():
        op.execute(statement)


def downgrade() -> None:
    """Irreversible: the books are kept."""
    raise RuntimeError("The books are not taken away: restore a backup.")


def _statements() -> Iterator[str]:
    yield from filter(str.strip, Path(__file__).with_suffix(".sql").read_text("utf-8").split(";\n"))
    for table in ("ledger_accounts", "journals", "journal_lines"):
        yield from protect(table)
    yield from touched("ledger_accounts")
    yield from append_only("journals")
    yield from append_only("journal_lines")
    # a foreign key locks the row it refers to, as the tables' owner, who needs to be allowed some update for that;
    # the trigger refuses all the same
    yield "GRANT UPDATE (id) ON journals TO CURRENT_USER"
    yield BALANCE
    for table in ("journals", "journal_lines"):
        yield (
            f"CREATE CONSTRAINT TRIGGER balance AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION voyagent_balance()"
        )
