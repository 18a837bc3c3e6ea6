"""What the metadata of tables cannot say: row-level security, grants and triggers, as statements for migrations.

Migrations after the first use ``protect``, ``touched`` and ``append_only`` for new tables. One that needs other guards
writes its own: what has run somewhere must not change here.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import MetaData, Table

SYSTEM_ROLE = "voyagent_system"
TENANT = "nullif(current_setting('voyagent.tenant_id', true), '')::uuid"
"""The agency a connection serves; unset it equals nothing, so no row is seen."""

TOUCH = """
CREATE FUNCTION voyagent_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.updated_at := coalesce(NEW.updated_at, NEW.created_at);
    ELSE
        NEW.updated_at := greatest(now(), OLD.updated_at + interval '1 microsecond');
    END IF;
    RETURN NEW;
END $$
"""

APPEND_ONLY = """
CREATE FUNCTION voyagent_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""

FORWARD = """
CREATE FUNCTION voyagent_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION '% only goes forward', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""

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

DAILY_TOTALS = """
CREATE FUNCTION voyagent_daily_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO daily_totals AS day (tenant_id, account_id, currency, entry_date, debit, credit)
    SELECT l.tenant_id, l.account_id, l.currency, j.entry_date, coalesce(sum(l.debit), 0), coalesce(sum(l.credit), 0)
      FROM posted l JOIN journals j ON j.tenant_id = l.tenant_id AND j.id = l.journal_id
     GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, account_id, currency, entry_date)
    DO UPDATE SET debit = day.debit + EXCLUDED.debit, credit = day.credit + EXCLUDED.credit;
    RETURN NULL;
END $$
"""
"""Days are locked in the order of their key, so that two journals of the same accounts wait and do not deadlock."""

TOTALLED = """
CREATE TRIGGER totalled AFTER INSERT ON journal_lines REFERENCING NEW TABLE AS posted
   FOR EACH STATEMENT EXECUTE FUNCTION voyagent_daily_totals()
"""

FENCE = """
CREATE FUNCTION voyagent_fence(of_shard integer, of_node uuid, of_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM shards WHERE shard = of_shard AND node = of_node AND epoch = of_epoch FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'shard % is not held by node % in epoch %', of_shard, of_node, of_epoch USING ERRCODE = 'VY001';
    END IF;
END $$
"""
"""The shard's row stays locked to the end of the transaction, so a take-over waits for it, and it for a take-over."""

AUDIT = """
CREATE FUNCTION voyagent_audit(of_tenant uuid, heads text[], tails text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    place bigint;
    newest text;
    event text;
BEGIN
    SELECT h.seq, h.hash INTO place, newest FROM audit_heads h WHERE h.tenant_id = of_tenant FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit_heads (tenant_id, seq, hash) VALUES (of_tenant, 0, repeat('0', 64))
            ON CONFLICT (tenant_id) DO NOTHING;
        SELECT h.seq, h.hash INTO STRICT place, newest FROM audit_heads h WHERE h.tenant_id = of_tenant FOR UPDATE;
    END IF;
    FOR n IN 1 .. cardinality(heads) LOOP
        place := place + 1;
        event := heads[n] || '"prev_hash":"' || newest || '","seq":' || place || tails[n];
        newest := encode(sha256(convert_to(event, 'UTF8')), 'hex');
        INSERT INTO audit_events (id, tenant_id, seq, prev_hash, hash, hash_v, actor_id, actor_kind, kind, driver,
                                  inputs, outputs, entity_refs, error, approval_required, approved_by, approved_at,
                                  completed_at, status, created_at)
        SELECT e.id, of_tenant, e.seq, e.prev_hash, newest, e.hash_v, e.actor_id, e.actor_kind, e.kind, e.driver,
               e.inputs, e.outputs, e.entity_refs, e.error, e.approval_required, e.approved_by, e.approved_at,
               e.completed_at, e.status, e.created_at
          FROM jsonb_populate_record(NULL::audit_events, event::jsonb) e;
    END LOOP;
    UPDATE audit_heads SET seq = place, hash = newest WHERE tenant_id = of_tenant;
    RETURN place;
END $$
"""
"""Appends events to an agency's chain. Each is its canonical JSON, but for its place in the chain, which is given here:
what is stored is read from the text that is hashed. The chain's head stays locked to the end of the transaction.
Returns the number of the last.
"""

SHARDS = "INSERT INTO shards (shard) SELECT generate_series(0, 255)"
FENCED = (
    "CREATE POLICY fence ON shards FOR SELECT USING (true)",
    "CREATE POLICY fence_lock ON shards FOR UPDATE USING (true) WITH CHECK (false)",
)
"""A connection that serves an agency reads the shards and locks them for its fence; it changes none."""


CONTROLLED = """
CREATE FUNCTION voyagent_controlled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM posted l
                 JOIN ledger_accounts a ON a.tenant_id = l.tenant_id AND a.id = l.account_id AND a.is_control
                 JOIN journals j ON j.tenant_id = l.tenant_id AND j.id = l.journal_id
                WHERE CASE a.type WHEN 'asset' THEN j.invoice_id ELSE j.bill_id END IS NULL)
    THEN
        RAISE EXCEPTION 'a control account takes lines of its documents alone'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'control_account', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$
"""
"""Trade receivables take lines of invoices' journals alone, trade payables those of bills'."""

CONTROL = """
CREATE TRIGGER control AFTER INSERT ON journal_lines REFERENCING NEW TABLE AS posted
   FOR EACH STATEMENT EXECUTE FUNCTION voyagent_controlled()
"""

SAME_ACCOUNT = """
CREATE FUNCTION voyagent_same_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an account stays what it is' USING ERRCODE = 'insufficient_privilege';
END $$
"""

SAME = """
CREATE TRIGGER same BEFORE UPDATE ON ledger_accounts FOR EACH ROW
  WHEN (ROW(OLD.id, OLD.tenant_id, OLD.code, OLD.type, OLD.is_control)
        IS DISTINCT FROM ROW(NEW.id, NEW.tenant_id, NEW.code, NEW.type, NEW.is_control))
   EXECUTE FUNCTION voyagent_same_account()
"""
"""An account's id and code mean the same for ever, and a control account is not opened for a moment."""


def everything(metadata: MetaData) -> Iterator[str]:
    """The guards of all tables of an empty database."""
    yield from (TOUCH, APPEND_ONLY, FORWARD, BALANCE, DAILY_TOTALS, CONTROLLED, SAME_ACCOUNT, FENCE, AUDIT, SHARDS)
    for table in metadata.sorted_tables:
        yield from protect(table)
        if "updated_at" in table.c:
            yield from touched(table)
    for name in ("audit_events", "invoice_lines", "journal_lines", "journals", "payments"):
        yield from append_only(name)
    yield from _forward_only("audit_heads")
    yield from _balanced()
    yield from (TOTALLED, CONTROL, SAME, *FENCED)
    yield f"GRANT SELECT ON alembic_version TO {SYSTEM_ROLE}"


def protect(table: Table) -> Iterator[str]:
    """Row-level security, for the owner too: an agency sees its rows, the system role all, anybody else none."""
    yield f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY"
    key = "id" if table.name == "tenants" else "tenant_id"
    if key in table.c:
        yield f"CREATE POLICY tenant ON {table.name} USING ({key} = {TENANT})"
    yield f"CREATE POLICY system ON {table.name} TO {SYSTEM_ROLE} USING (true)"
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table.name} TO {SYSTEM_ROLE}"


def touched(table: Table) -> Iterator[str]:
    """Keep ``updated_at``. Where columns are generated, the others are compared: a trigger cannot read these."""
    stored = [column.name for column in table.c if column.computed is None]
    old, new = (
        row if len(stored) == len(table.c) else f"ROW({', '.join(f'{row}.{name}' for name in stored)})"
        for row in ("OLD", "NEW")
    )
    yield f"CREATE TRIGGER born BEFORE INSERT ON {table.name} FOR EACH ROW EXECUTE FUNCTION voyagent_touch()"
    yield (
        f"CREATE TRIGGER touched BEFORE UPDATE ON {table.name} FOR EACH ROW WHEN ({old} IS DISTINCT FROM {new})"
        " EXECUTE FUNCTION voyagent_touch()"
    )


def append_only(name: str) -> Iterator[str]:
    """Make a table append-only, by grant and by trigger."""
    for role in ("CURRENT_USER", SYSTEM_ROLE):
        yield f"REVOKE UPDATE, DELETE, TRUNCATE ON {name} FROM {role}"
    yield (
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name}"
        " FOR EACH STATEMENT EXECUTE FUNCTION voyagent_append_only()"
    )


def _forward_only(name: str) -> Iterator[str]:
    """The head of a chain moves forward and is never deleted."""
    for role in ("CURRENT_USER", SYSTEM_ROLE):
        yield f"REVOKE DELETE, TRUNCATE ON {name} FROM {role}"
    yield f"CREATE TRIGGER forward BEFORE UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION voyagent_forward()"
    yield (
        f"CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON {name}"
        " FOR EACH STATEMENT EXECUTE FUNCTION voyagent_append_only()"
    )


def _balanced() -> Iterator[str]:
    # a foreign key locks the row it refers to, as the tables' owner, who needs to be allowed some update for that;
    # the trigger refuses all the same
    yield "GRANT UPDATE (id) ON journals TO CURRENT_USER"
    for name in ("journals", "journal_lines"):
        yield (
            f"CREATE CONSTRAINT TRIGGER balance AFTER INSERT ON {name} DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION voyagent_balance()"
        )
