-- The books as they were at first. storage/tables.py says what they are now.

CREATE TABLE ledger_accounts (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    is_control boolean DEFAULT false NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_ledger_accounts PRIMARY KEY (id),
    CONSTRAINT uq_ledger_accounts_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_ledger_accounts_code UNIQUE (tenant_id, code),
    CONSTRAINT ck_ledger_accounts_code CHECK (char_length(code) BETWEEN 1 AND 32),
    CONSTRAINT ck_ledger_accounts_type CHECK (type IN ('asset', 'liability', 'equity', 'revenue', 'expense')),
    CONSTRAINT fk_ledger_accounts_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE journals (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    entry_date date NOT NULL,
    narration text NOT NULL,
    source_event text NOT NULL,
    source_ref text,
    line_count integer NOT NULL,
    reverses uuid,
    idempotency_key text NOT NULL,
    posted_at timestamptz NOT NULL,
    created_by uuid,
    CONSTRAINT pk_journals PRIMARY KEY (id),
    CONSTRAINT uq_journals_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_journals_reverses FOREIGN KEY (tenant_id, reverses) REFERENCES journals (tenant_id, id),
    CONSTRAINT uq_journals_idempotency_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT uq_journals_reverses UNIQUE (tenant_id, reverses),
    CONSTRAINT ck_journals_line_count CHECK (line_count >= 2),
    CONSTRAINT fk_journals_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_journals_entry_date ON journals (tenant_id, entry_date);

CREATE TABLE journal_lines (
    tenant_id uuid NOT NULL,
    journal_id uuid NOT NULL,
    line_no integer NOT NULL,
    account_id uuid NOT NULL,
    currency char(3) NOT NULL,
    debit numeric(18, 4),
    credit numeric(18, 4),
    memo text,
    CONSTRAINT pk_journal_lines PRIMARY KEY (tenant_id, journal_id, line_no),
    CONSTRAINT fk_journal_lines_journal_id FOREIGN KEY (tenant_id, journal_id) REFERENCES journals (tenant_id, id),
    CONSTRAINT fk_journal_lines_account_id FOREIGN KEY (tenant_id, account_id)
        REFERENCES ledger_accounts (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_journal_lines_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ck_journal_lines_side CHECK ((debit IS NULL) <> (credit IS NULL) AND coalesce(debit, credit) > 0),
    CONSTRAINT fk_journal_lines_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_journal_lines_account_id ON journal_lines (tenant_id, account_id);
