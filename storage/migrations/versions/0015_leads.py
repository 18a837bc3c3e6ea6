"""Keys by which enquiries of one customer are found, and the enquiry a booking was made for."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

KEYS = """
ALTER TABLE enquiries
    ADD COLUMN email_key TEXT GENERATED ALWAYS AS (lower(customer_email)) STORED,
    ADD COLUMN phone_key TEXT GENERATED ALWAYS AS (right(regexp_replace(customer_phone, '[^0-9]', '', 'g'), 10)) STORED
"""
INDEXES = (
    (
        "CREATE INDEX ix_enquiries_email_key ON enquiries (tenant_id, email_key, created_at, id)"
        " WHERE email_key IS NOT NULL"
    ),
    (
        "CREATE INDEX ix_enquiries_phone_key ON enquiries (tenant_id, phone_key, created_at, id)"
        " WHERE phone_key IS NOT NULL"
    ),
    "CREATE INDEX ix_bookings_enquiry_id ON bookings (tenant_id, enquiry_id) WHERE enquiry_id IS NOT NULL",
)
FILL = """
UPDATE bookings b SET enquiry_id =
    (SELECT e.id FROM enquiries e WHERE e.tenant_id = b.tenant_id AND e.session_id = b.session_id
      ORDER BY e.created_at DESC, e.id DESC LIMIT 1)
 WHERE b.session_id IS NOT NULL
"""
KEY = """
ALTER TABLE bookings ADD CONSTRAINT fk_bookings_enquiry_id FOREIGN KEY (tenant_id, enquiry_id)
    REFERENCES enquiries (tenant_id, id) ON DELETE SET NULL (enquiry_id)
"""
READ = ("bookings", "enquiries")


def upgrade() -> None:
    """Add the keys, and fill what was empty. The owner sees every agency's rows while no policy binds it."""
    op.execute(KEYS)
    for table in READ:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE bookings SET enquiry_id = NULL WHERE enquiry_id IS NOT NULL")  # nothing has filled it before
    op.execute(FILL)
    for table in READ:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with pending checks takes no new constraint
    op.execute(KEY)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    """Drop them; the release before reads no enquiry of a booking."""
    op.execute("ALTER TABLE bookings DROP CONSTRAINT fk_bookings_enquiry_id")
    op.execute("DROP INDEX ix_bookings_enquiry_id")
    op.execute("ALTER TABLE enquiries DROP COLUMN email_key, DROP COLUMN phone_key")
