"""Daily totals of accounts, kept by a trigger on the journal lines, and those of the lines that are there."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import daily_totals

revision = "0010"
down_revision = "0009"

TABLE = """
CREATE TABLE daily_totals (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    currency CHAR(3) NOT NULL,
    entry_date DATE NOT NULL,
    debit NUMERIC(28, 4) NOT NULL,
    credit NUMERIC(28, 4) NOT NULL,
    CONSTRAINT pk_daily_totals PRIMARY KEY (tenant_id, account_id, currency, entry_date),
    CONSTRAINT fk_daily_totals_account_id FOREIGN KEY (tenant_id, account_id)
        REFERENCES ledger_accounts (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_daily_totals_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ck_daily_totals_sides CHECK (debit >= 0 AND credit >= 0),
    CONSTRAINT fk_daily_totals_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
)
"""
FILL = """
INSERT INTO daily_totals (tenant_id, account_id, currency, entry_date, debit, credit)
SELECT l.tenant_id, l.account_id, l.currency, j.entry_date, coalesce(sum(l.debit), 0), coalesce(sum(l.credit), 0)
  FROM journal_lines l JOIN journals j ON j.tenant_id = l.tenant_id AND j.id = l.journal_id GROUP BY 1, 2, 3, 4
"""
READ = ("journals", "journal_lines")


def upgrade() -> None:
    """Make the table, its trigger and its rows. The owner reads every agency's lines while no policy binds it."""
    op.execute(TABLE)
    op.execute(guards.DAILY_TOTALS)
    op.execute(guards.TOTALLED)
    for name in READ:
        op.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
    op.execute(FILL)
    for name in READ:
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    for statement in guards.protect(daily_totals):
        op.execute(statement)


def downgrade() -> None:
    """Drop them: they follow from the journal lines."""
    op.execute("DROP TRIGGER totalled ON journal_lines")
    op.execute("DROP FUNCTION voyagent_daily_totals")
    op.execute("DROP TABLE daily_totals")
