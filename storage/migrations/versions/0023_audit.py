"""Audit events are hashed and appended by a function of the database."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"

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


def upgrade() -> None:
    """Make the function."""
    op.execute(AUDIT)


def downgrade() -> None:
    """Drop it: an earlier release appends by statements of its own."""
    op.execute("DROP FUNCTION voyagent_audit")
