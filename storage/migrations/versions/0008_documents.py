"""Documents of the books with their counters; the document of a journal; the agency's series of numbers."""

from __future__ import annotations

from alembic import op

from voyagent.storage.migrations import guards
from voyagent.storage.tables import metadata

revision = "0008"
down_revision = "0007"

APPEND_ONLY = ("invoice_lines", "payments")

TABLES = {
    "invoices": """
CREATE TABLE invoices (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    series TEXT,
    party_reference TEXT,
    billing_address JSONB,
    status TEXT DEFAULT 'draft' NOT NULL,
    number TEXT NOT NULL,
    party_name TEXT NOT NULL,
    issue_date DATE NOT NULL,
    due_date DATE NOT NULL,
    currency CHAR(3) NOT NULL,
    total NUMERIC(18, 4) NOT NULL,
    amount_paid NUMERIC(18, 4) DEFAULT 0 NOT NULL,
    notes TEXT,
    issued_at TIMESTAMP WITH TIME ZONE,
    voided_on DATE,
    void_reason TEXT,
    session_id UUID,
    created_by UUID,
    idempotency_key TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_invoices PRIMARY KEY (id),
    CONSTRAINT uq_invoices_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_invoices_session_id FOREIGN KEY(tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON
        DELETE SET NULL (session_id),
    CONSTRAINT uq_invoices_number UNIQUE (tenant_id, number),
    CONSTRAINT uq_invoices_idempotency_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT ck_invoices_number CHECK (number ~ '^[A-Za-z0-9/-]{1,16}$'),
    CONSTRAINT ck_invoices_due_date CHECK (due_date >= issue_date),
    CONSTRAINT ck_invoices_amount_paid CHECK (total > 0 AND amount_paid BETWEEN 0 AND total),
    CONSTRAINT ck_invoices_voided_on CHECK ((status = 'void') = (voided_on IS NOT NULL)),
    CONSTRAINT ck_invoices_settled CHECK (status NOT IN ('paid', 'void') OR amount_paid = CASE status WHEN
        'paid' THEN total ELSE 0 END),
    CONSTRAINT ck_invoices_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ck_invoices_status CHECK (status IN ('draft', 'issued', 'partially_paid', 'paid', 'void')),
    CONSTRAINT fk_invoices_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
""",
    "bills": """
CREATE TABLE bills (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    vendor_reference TEXT NOT NULL,
    desk TEXT DEFAULT 'other' NOT NULL,
    booking_id UUID,
    pay_on DATE,
    status TEXT DEFAULT 'draft' NOT NULL,
    number TEXT NOT NULL,
    party_name TEXT NOT NULL,
    issue_date DATE NOT NULL,
    due_date DATE NOT NULL,
    currency CHAR(3) NOT NULL,
    total NUMERIC(18, 4) NOT NULL,
    amount_paid NUMERIC(18, 4) DEFAULT 0 NOT NULL,
    notes TEXT,
    issued_at TIMESTAMP WITH TIME ZONE,
    voided_on DATE,
    void_reason TEXT,
    session_id UUID,
    created_by UUID,
    idempotency_key TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_bills PRIMARY KEY (id),
    CONSTRAINT uq_bills_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_bills_session_id FOREIGN KEY(tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON
        DELETE SET NULL (session_id),
    CONSTRAINT uq_bills_number UNIQUE (tenant_id, number),
    CONSTRAINT uq_bills_idempotency_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT ck_bills_number CHECK (number ~ '^[A-Za-z0-9/-]{1,16}$'),
    CONSTRAINT ck_bills_due_date CHECK (due_date >= issue_date),
    CONSTRAINT ck_bills_amount_paid CHECK (total > 0 AND amount_paid BETWEEN 0 AND total),
    CONSTRAINT ck_bills_voided_on CHECK ((status = 'void') = (voided_on IS NOT NULL)),
    CONSTRAINT ck_bills_settled CHECK (status NOT IN ('paid', 'void') OR amount_paid = CASE status WHEN 'paid'
        THEN total ELSE 0 END),
    CONSTRAINT ck_bills_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT uq_bills_vendor_reference UNIQUE (tenant_id, vendor_reference),
    CONSTRAINT fk_bills_booking_id FOREIGN KEY(tenant_id, booking_id) REFERENCES bookings (tenant_id, id),
    CONSTRAINT ck_bills_vendor_reference CHECK (char_length(vendor_reference) BETWEEN 1 AND 128),
    CONSTRAINT ck_bills_status CHECK (status IN ('draft', 'received', 'scheduled', 'paid', 'void')),
    CONSTRAINT ck_bills_desk CHECK (desk IN ('ticketing_visa', 'hotels_holidays', 'other')),
    CONSTRAINT fk_bills_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
""",
    "invoice_lines": """
CREATE TABLE invoice_lines (
    tenant_id UUID NOT NULL,
    invoice_id UUID NOT NULL,
    line_no INTEGER NOT NULL,
    description TEXT NOT NULL,
    quantity NUMERIC(18, 4) NOT NULL,
    unit_price NUMERIC(18, 4) NOT NULL,
    subtotal NUMERIC(18, 4) NOT NULL,
    taxes JSONB DEFAULT '[]' NOT NULL,
    total NUMERIC(18, 4) NOT NULL,
    desk TEXT DEFAULT 'other' NOT NULL,
    booking_id UUID,
    CONSTRAINT pk_invoice_lines PRIMARY KEY (tenant_id, invoice_id, line_no),
    CONSTRAINT fk_invoice_lines_invoice_id FOREIGN KEY(tenant_id, invoice_id) REFERENCES invoices (tenant_id, id),
    CONSTRAINT fk_invoice_lines_booking_id FOREIGN KEY(tenant_id, booking_id) REFERENCES bookings (tenant_id, id),
    CONSTRAINT ck_invoice_lines_quantity CHECK (quantity > 0),
    CONSTRAINT ck_invoice_lines_desk CHECK (desk IN ('ticketing_visa', 'hotels_holidays', 'other')),
    CONSTRAINT fk_invoice_lines_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
""",
    "payments": """
CREATE TABLE payments (
    id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    invoice_id UUID,
    bill_id UUID,
    amount NUMERIC(18, 4) NOT NULL,
    currency CHAR(3) NOT NULL,
    method TEXT NOT NULL,
    paid_on DATE NOT NULL,
    reference TEXT,
    journal_id UUID NOT NULL,
    created_by UUID,
    idempotency_key TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_payments PRIMARY KEY (id),
    CONSTRAINT fk_payments_invoice_id FOREIGN KEY(tenant_id, invoice_id) REFERENCES invoices (tenant_id, id),
    CONSTRAINT fk_payments_bill_id FOREIGN KEY(tenant_id, bill_id) REFERENCES bills (tenant_id, id),
    CONSTRAINT fk_payments_journal_id FOREIGN KEY(tenant_id, journal_id) REFERENCES journals (tenant_id, id),
    CONSTRAINT uq_payments_idempotency_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT uq_payments_invoice_id_method_reference UNIQUE (tenant_id, invoice_id, method, reference),
    CONSTRAINT uq_payments_bill_id_method_reference UNIQUE (tenant_id, bill_id, method, reference),
    CONSTRAINT ck_payments_document CHECK (num_nonnulls(invoice_id, bill_id) = 1),
    CONSTRAINT ck_payments_amount CHECK (amount > 0),
    CONSTRAINT ck_payments_reference CHECK (char_length(reference) BETWEEN 1 AND 128),
    CONSTRAINT ck_payments_method CHECK (method IN ('upi', 'card', 'bank_transfer', 'cash', 'cheque',
        'payment_link', 'wallet', 'other')),
    CONSTRAINT ck_payments_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_payments_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
""",
    "document_counters": """
CREATE TABLE document_counters (
    tenant_id UUID NOT NULL,
    kind TEXT NOT NULL,
    period TEXT DEFAULT '' NOT NULL,
    next INTEGER DEFAULT 1 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_document_counters PRIMARY KEY (tenant_id, kind, period),
    CONSTRAINT ck_document_counters_kind CHECK (kind IN ('invoice', 'bill', 'credit_note')),
    CONSTRAINT ck_document_counters_next CHECK (next > 0),
    CONSTRAINT fk_document_counters_tenant_id FOREIGN KEY(tenant_id) REFERENCES tenants (id)
)
""",
}

INDEXES = (
    "CREATE INDEX ix_invoices_issue_date ON invoices (tenant_id, issue_date)",
    "CREATE INDEX ix_invoices_status_due_date_id ON invoices (tenant_id, status, due_date, id)",
    "CREATE INDEX ix_bills_booking_id ON bills (tenant_id, booking_id) WHERE booking_id IS NOT NULL",
    "CREATE INDEX ix_bills_issue_date ON bills (tenant_id, issue_date)",
    "CREATE INDEX ix_bills_status_due_date_id ON bills (tenant_id, status, due_date, id)",
    "CREATE INDEX ix_invoice_lines_booking_id ON invoice_lines (tenant_id, booking_id) WHERE booking_id IS NOT NULL",
    "CREATE INDEX ix_payments_paid_on ON payments (tenant_id, paid_on)",
    "CREATE INDEX ix_journals_invoice_id ON journals (tenant_id, invoice_id) WHERE invoice_id IS NOT NULL",
    "CREATE INDEX ix_journals_bill_id ON journals (tenant_id, bill_id) WHERE bill_id IS NOT NULL",
)

JOURNALS = """
ALTER TABLE journals
    ADD COLUMN invoice_id UUID,
    ADD COLUMN bill_id UUID,
    ADD CONSTRAINT ck_journals_document CHECK (num_nonnulls(invoice_id, bill_id) <= 1),
    ADD CONSTRAINT fk_journals_invoice_id FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoices (tenant_id, id),
    ADD CONSTRAINT fk_journals_bill_id FOREIGN KEY (tenant_id, bill_id) REFERENCES bills (tenant_id, id)
"""

SETTINGS = """
ALTER TABLE tenant_settings
    ADD COLUMN invoice_series TEXT DEFAULT 'INV-{n:06}' NOT NULL,
    ADD COLUMN bill_series TEXT DEFAULT 'BILL-{n:06}' NOT NULL,
    ADD COLUMN credit_note_series TEXT DEFAULT 'CN-{n:06}' NOT NULL,
    ADD COLUMN financial_year_start_month INTEGER DEFAULT 4 NOT NULL,
    ADD CONSTRAINT ck_tenant_settings_financial_year_start_month CHECK (financial_year_start_month BETWEEN 1 AND 12)
"""


def upgrade() -> None:
    """Make the tables with their guards, and add what refers to them."""
    for create in (*TABLES.values(), JOURNALS, SETTINGS, *INDEXES):
        op.execute(create)
    for name in TABLES:
        table = metadata.tables[name]
        for statement in (*guards.protect(table), *(guards.touched(table) if "updated_at" in table.c else ())):
            op.execute(statement)
    for name in APPEND_ONLY:
        for statement in guards.append_only(name):
            op.execute(statement)


def downgrade() -> None:
    """Drop them. What they hold is lost."""
    op.execute("ALTER TABLE journals DROP COLUMN invoice_id, DROP COLUMN bill_id")
    for column in ("invoice_series", "bill_series", "credit_note_series", "financial_year_start_month"):
        op.execute(f"ALTER TABLE tenant_settings DROP COLUMN {column}")
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
