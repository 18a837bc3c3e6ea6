-- The tables as they were at first. storage/tables.py says what they are now.

CREATE TABLE tenants (
    id uuid NOT NULL,
    display_name text NOT NULL,
    default_currency char(3) DEFAULT 'INR' NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_tenants PRIMARY KEY (id),
    CONSTRAINT ck_tenants_default_currency CHECK (default_currency ~ '^[A-Z]{3}$')
);
CREATE INDEX ix_tenants_display_name ON tenants (display_name);

CREATE TABLE users (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    external_id text,
    display_name text,
    email text NOT NULL,
    role text DEFAULT 'agent' NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    password_hash text,
    password_changed_at timestamptz,
    email_verified boolean DEFAULT false NOT NULL,
    email_changed_at timestamptz,
    former_email text,
    released_at timestamptz,
    token_version integer DEFAULT 0 NOT NULL,
    token_version_at timestamptz,
    totp_sealed bytea,
    totp_pending_sealed bytea,
    totp_enabled_at timestamptz,
    totp_last_step bigint,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_id UNIQUE (tenant_id, id),
    CONSTRAINT ck_users_role CHECK (role IN ('agency_admin', 'ticketing_lead', 'accounting_lead', 'agent', 'viewer')),
    CONSTRAINT fk_users_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_users_created_at_id ON users (tenant_id, created_at, id);
CREATE INDEX ix_users_external_id ON users (tenant_id, external_id);
CREATE INDEX ix_users_former_email ON users (former_email) WHERE former_email IS NOT NULL;
CREATE UNIQUE INDEX uq_users_email ON users (email) WHERE released_at IS NULL;

CREATE TABLE auth_families (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    counter integer DEFAULT 0 NOT NULL,
    rotated_at timestamptz,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_why text,
    user_agent text,
    ip text,
    network text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_auth_families PRIMARY KEY (id),
    CONSTRAINT uq_auth_families_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_auth_families_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT fk_auth_families_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_auth_families_user_id_live ON auth_families (tenant_id, user_id) WHERE revoked_at IS NULL;
CREATE INDEX ix_auth_families_user_id_network ON auth_families (tenant_id, user_id, network);

CREATE TABLE auth_refresh_tokens (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    family_id uuid NOT NULL,
    counter integer NOT NULL,
    token_hash bytea NOT NULL,
    key_id text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_auth_refresh_tokens PRIMARY KEY (id),
    CONSTRAINT fk_auth_refresh_tokens_family_id FOREIGN KEY (tenant_id, family_id)
        REFERENCES auth_families (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_auth_refresh_tokens_token_hash UNIQUE (token_hash),
    CONSTRAINT uq_auth_refresh_tokens_family_id_counter UNIQUE (tenant_id, family_id, counter),
    CONSTRAINT ck_auth_refresh_tokens_token_hash CHECK (octet_length(token_hash) = 32),
    CONSTRAINT fk_auth_refresh_tokens_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE revoked_access_tokens (
    jti text NOT NULL,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_revoked_access_tokens PRIMARY KEY (jti),
    CONSTRAINT fk_revoked_access_tokens_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT fk_revoked_access_tokens_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_revoked_access_tokens_expires_at ON revoked_access_tokens (expires_at);
CREATE INDEX ix_revoked_access_tokens_user_id ON revoked_access_tokens (tenant_id, user_id);

CREATE TABLE one_time_tokens (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    token_hash bytea NOT NULL,
    email text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_one_time_tokens PRIMARY KEY (id),
    CONSTRAINT fk_one_time_tokens_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT uq_one_time_tokens_token_hash UNIQUE (token_hash),
    CONSTRAINT fk_one_time_tokens_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_one_time_tokens_user_id_kind ON one_time_tokens (tenant_id, user_id, kind);
CREATE UNIQUE INDEX uq_one_time_tokens_reset ON one_time_tokens (tenant_id, user_id)
    WHERE kind = 'reset' AND used_at IS NULL;

CREATE TABLE recovery_codes (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    code_mac bytea NOT NULL,
    key_id text NOT NULL,
    used_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (id),
    CONSTRAINT fk_recovery_codes_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT uq_recovery_codes_user_id_code_mac UNIQUE (tenant_id, user_id, code_mac),
    CONSTRAINT fk_recovery_codes_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE invites (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    invited_by_user_id uuid NOT NULL,
    inviter_email text NOT NULL,
    email text NOT NULL,
    role text DEFAULT 'agent' NOT NULL,
    token_hash bytea NOT NULL,
    letter_token_hash bytea NOT NULL,
    status text DEFAULT 'pending' NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_user_id uuid,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_invites PRIMARY KEY (id),
    CONSTRAINT fk_invites_invited_by_user_id FOREIGN KEY (tenant_id, invited_by_user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT fk_invites_accepted_user_id FOREIGN KEY (tenant_id, accepted_user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT uq_invites_token_hash UNIQUE (token_hash),
    CONSTRAINT uq_invites_letter_token_hash UNIQUE (letter_token_hash),
    CONSTRAINT ck_invites_role
        CHECK (role IN ('agency_admin', 'ticketing_lead', 'accounting_lead', 'agent', 'viewer')),
    CONSTRAINT ck_invites_status CHECK (status IN ('pending', 'accepted', 'revoked', 'expired')),
    CONSTRAINT fk_invites_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_invites_created_at_id ON invites (tenant_id, created_at, id);
CREATE INDEX ix_invites_status ON invites (tenant_id, status);
CREATE UNIQUE INDEX uq_invites_email_pending ON invites (tenant_id, email) WHERE status = 'pending';

CREATE TABLE api_keys (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    created_by_user_id uuid NOT NULL,
    name text NOT NULL,
    prefix char(8) NOT NULL,
    key_hash bytea NOT NULL,
    scopes text[] DEFAULT '{full}' NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT uq_api_keys_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_api_keys_created_by_user_id FOREIGN KEY (tenant_id, created_by_user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT uq_api_keys_key_hash UNIQUE (key_hash),
    CONSTRAINT fk_api_keys_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_api_keys_created_by_user_id ON api_keys (tenant_id, created_by_user_id);
CREATE INDEX ix_api_keys_revoked_at ON api_keys (tenant_id, revoked_at);

CREATE TABLE tenant_settings (
    tenant_id uuid NOT NULL,
    model text,
    system_prompt_suffix text,
    rate_limit_per_minute integer DEFAULT 60 NOT NULL,
    rate_limit_per_hour integer DEFAULT 1000 NOT NULL,
    daily_token_budget bigint,
    locale text DEFAULT 'en' NOT NULL,
    timezone text DEFAULT 'UTC' NOT NULL,
    default_currency char(3) DEFAULT 'INR' NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_tenant_settings PRIMARY KEY (tenant_id),
    CONSTRAINT ck_tenant_settings_rate_limit_per_minute CHECK (rate_limit_per_minute > 0),
    CONSTRAINT ck_tenant_settings_rate_limit_per_hour CHECK (rate_limit_per_hour >= rate_limit_per_minute),
    CONSTRAINT ck_tenant_settings_daily_token_budget CHECK (daily_token_budget > 0),
    CONSTRAINT ck_tenant_settings_default_currency CHECK (default_currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_tenant_settings_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE outbox (
    id uuid NOT NULL,
    tenant_id uuid,
    kind text NOT NULL,
    recipient text NOT NULL,
    payload_sealed bytea,
    key_id text,
    state text DEFAULT 'due' NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    sent_at timestamptz,
    expires_at timestamptz,
    message_id text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT ck_outbox_state CHECK (state IN ('due', 'held', 'sent', 'dropped', 'dead')),
    CONSTRAINT fk_outbox_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_outbox_created_at ON outbox (tenant_id, created_at);
CREATE INDEX ix_outbox_due_at ON outbox (due_at) WHERE sent_at IS NULL;

CREATE TABLE idempotency_keys (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    status smallint NOT NULL,
    reply bytea NOT NULL,
    headers jsonb DEFAULT '{}' NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (tenant_id, user_id, route, key),
    CONSTRAINT fk_idempotency_keys_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT ck_idempotency_keys_status CHECK (status BETWEEN 200 AND 299),
    CONSTRAINT fk_idempotency_keys_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_idempotency_keys_expires_at ON idempotency_keys (expires_at);

CREATE TABLE audit_events (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    prev_hash char(64) NOT NULL,
    hash char(64) NOT NULL,
    hash_v smallint NOT NULL,
    actor_id uuid,
    actor_kind text NOT NULL,
    kind text NOT NULL,
    driver text,
    inputs jsonb NOT NULL,
    outputs jsonb NOT NULL,
    entity_refs jsonb NOT NULL,
    error text,
    approval_required boolean NOT NULL,
    approved_by uuid,
    approved_at timestamptz,
    completed_at timestamptz,
    status text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_audit_events PRIMARY KEY (id),
    CONSTRAINT uq_audit_events_seq UNIQUE (tenant_id, seq),
    CONSTRAINT ck_audit_events_actor_kind CHECK (actor_kind IN ('human', 'agent', 'system')),
    CONSTRAINT ck_audit_events_status CHECK (status IN ('started', 'succeeded', 'failed', 'rejected', 'cancelled')),
    CONSTRAINT fk_audit_events_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_audit_events_actor_id_seq ON audit_events (tenant_id, actor_id, seq);
CREATE INDEX ix_audit_events_created_at ON audit_events (tenant_id, created_at);
CREATE INDEX ix_audit_events_kind_seq ON audit_events (tenant_id, kind, seq);

CREATE TABLE audit_heads (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    hash char(64) NOT NULL,
    CONSTRAINT pk_audit_heads PRIMARY KEY (tenant_id),
    CONSTRAINT fk_audit_heads_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE sessions (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    actor_id uuid NOT NULL,
    actor_kind text DEFAULT 'human' NOT NULL,
    title text,
    pruned_through bigint DEFAULT 0 NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT uq_sessions_id UNIQUE (tenant_id, id),
    CONSTRAINT ck_sessions_actor_kind CHECK (actor_kind IN ('human', 'agent', 'system')),
    CONSTRAINT fk_sessions_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_sessions_created_at_id ON sessions (tenant_id, created_at, id);

CREATE TABLE turns (
    id text NOT NULL,
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    user_id uuid NOT NULL,
    state text NOT NULL,
    text_hash bytea NOT NULL,
    input jsonb DEFAULT '{}' NOT NULL,
    on_busy text,
    desk text,
    pass_no integer DEFAULT 1 NOT NULL,
    first_event_id bigint,
    pass_event_id bigint,
    step jsonb DEFAULT '{}' NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    error text,
    idempotency_key text,
    delivered_at timestamptz,
    queued_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    ran_ms bigint DEFAULT 0 NOT NULL,
    CONSTRAINT pk_turns PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_turns_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_turns_user_id FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id),
    CONSTRAINT ck_turns_state CHECK (state IN ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
    CONSTRAINT fk_turns_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_turns_queued_at ON turns (tenant_id, queued_at);
CREATE INDEX ix_turns_session_id_queued_at_id ON turns (tenant_id, session_id, queued_at, id);
CREATE INDEX ix_turns_unfinished ON turns (tenant_id, session_id, state)
    WHERE state IN ('queued', 'running', 'waiting');
CREATE UNIQUE INDEX uq_turns_running ON turns (tenant_id, session_id) WHERE state = 'running';

CREATE TABLE tool_calls (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    session_id uuid,
    turn_id text NOT NULL,
    call_id text NOT NULL,
    tool text NOT NULL,
    desk text,
    input jsonb NOT NULL,
    input_sealed bytea,
    input_hash char(64) NOT NULL,
    bound jsonb,
    effect text NOT NULL,
    state text DEFAULT 'proposed' NOT NULL,
    user_id uuid NOT NULL,
    driver text,
    output jsonb,
    error text,
    approval_id text,
    decided_by uuid,
    decided_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    position integer DEFAULT 0 NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_tool_calls PRIMARY KEY (id),
    CONSTRAINT uq_tool_calls_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_tool_calls_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE SET NULL (session_id),
    CONSTRAINT fk_tool_calls_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT fk_tool_calls_decided_by FOREIGN KEY (tenant_id, decided_by)
        REFERENCES users (tenant_id, id),
    CONSTRAINT uq_tool_calls_turn_id_call_id UNIQUE (tenant_id, turn_id, call_id),
    CONSTRAINT uq_tool_calls_approval_id UNIQUE (tenant_id, approval_id),
    CONSTRAINT ck_tool_calls_effect CHECK (effect IN ('read', 'reversible', 'irreversible')),
    CONSTRAINT ck_tool_calls_state
        CHECK (state IN ('proposed', 'approved', 'executing', 'succeeded', 'failed', 'unknown')),
    CONSTRAINT fk_tool_calls_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_tool_calls_session_id ON tool_calls (tenant_id, session_id);
CREATE INDEX ix_tool_calls_unfinished ON tool_calls (tenant_id, state)
    WHERE state IN ('proposed', 'approved', 'executing');

CREATE TABLE messages (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    turn_id text NOT NULL,
    user_id uuid,
    sequence integer NOT NULL,
    role text NOT NULL,
    content jsonb NOT NULL,
    tool_call_id uuid,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_messages PRIMARY KEY (id),
    CONSTRAINT fk_messages_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_messages_turn_id FOREIGN KEY (tenant_id, turn_id)
        REFERENCES turns (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_messages_user_id FOREIGN KEY (tenant_id, user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT fk_messages_tool_call_id FOREIGN KEY (tenant_id, tool_call_id)
        REFERENCES tool_calls (tenant_id, id),
    CONSTRAINT uq_messages_session_id_sequence UNIQUE (tenant_id, session_id, sequence),
    CONSTRAINT uq_messages_tool_call_id UNIQUE (tenant_id, tool_call_id),
    CONSTRAINT ck_messages_role CHECK (role IN ('user', 'assistant', 'tool')),
    CONSTRAINT fk_messages_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_messages_turn_id ON messages (tenant_id, turn_id);

CREATE TABLE session_events (
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    seq bigint NOT NULL,
    turn_id text NOT NULL,
    kind text NOT NULL,
    frame text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_session_events PRIMARY KEY (session_id, seq),
    CONSTRAINT fk_session_events_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_session_events_seq CHECK (seq > 0)
);
CREATE INDEX ix_session_events_kind_created_at ON session_events (kind, created_at);

CREATE TABLE pending_approvals (
    id text NOT NULL,
    tenant_id uuid NOT NULL,
    session_id uuid NOT NULL,
    turn_id text NOT NULL,
    tool_call_id uuid NOT NULL,
    tool_name text NOT NULL,
    summary text NOT NULL,
    payload jsonb NOT NULL,
    bound jsonb,
    input_hash char(64) NOT NULL,
    approver_roles text[] NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz,
    status text DEFAULT 'pending' NOT NULL,
    resolved_at timestamptz,
    resolved_by_user_id uuid,
    reason text,
    CONSTRAINT pk_pending_approvals PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_pending_approvals_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_pending_approvals_turn_id FOREIGN KEY (tenant_id, turn_id)
        REFERENCES turns (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_pending_approvals_tool_call_id FOREIGN KEY (tenant_id, tool_call_id)
        REFERENCES tool_calls (tenant_id, id),
    CONSTRAINT fk_pending_approvals_resolved_by_user_id FOREIGN KEY (tenant_id, resolved_by_user_id)
        REFERENCES users (tenant_id, id),
    CONSTRAINT uq_pending_approvals_tool_call_id UNIQUE (tenant_id, tool_call_id),
    CONSTRAINT ck_pending_approvals_status CHECK (status IN ('pending', 'granted', 'rejected', 'expired')),
    CONSTRAINT ck_pending_approvals_id CHECK (char_length(id) <= 128),
    CONSTRAINT ck_pending_approvals_summary CHECK (char_length(summary) <= 1024),
    CONSTRAINT fk_pending_approvals_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_pending_approvals_due ON pending_approvals (expires_at, tenant_id) WHERE status = 'pending';
CREATE INDEX ix_pending_approvals_requested_at_id ON pending_approvals (tenant_id, requested_at, id);
CREATE INDEX ix_pending_approvals_session_id_requested_at ON pending_approvals (tenant_id, session_id, requested_at);
CREATE INDEX ix_pending_approvals_status_expires_at ON pending_approvals (tenant_id, status, expires_at);
CREATE INDEX ix_pending_approvals_turn_id ON pending_approvals (tenant_id, turn_id);

CREATE TABLE model_calls (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    session_id uuid,
    turn_id text NOT NULL,
    pass_no integer DEFAULT 1 NOT NULL,
    desk text,
    model text NOT NULL,
    state text DEFAULT 'started' NOT NULL,
    outcome text NOT NULL,
    estimate bigint DEFAULT 0 NOT NULL,
    input_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL,
    cache_read_tokens bigint DEFAULT 0 NOT NULL,
    cache_write_tokens bigint DEFAULT 0 NOT NULL,
    cost_usd numeric(14, 8),
    duration_ms bigint DEFAULT 0 NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_model_calls PRIMARY KEY (id),
    CONSTRAINT fk_model_calls_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE SET NULL (session_id),
    CONSTRAINT ck_model_calls_state CHECK (state IN ('started', 'settled')),
    CONSTRAINT fk_model_calls_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_model_calls_created_at_model ON model_calls (tenant_id, created_at, model);
CREATE INDEX ix_model_calls_session_id ON model_calls (tenant_id, session_id);
CREATE INDEX ix_model_calls_started ON model_calls (tenant_id, created_at) WHERE state = 'started';

CREATE TABLE passengers (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    full_name text NOT NULL,
    name_key text GENERATED ALWAYS AS (lower(full_name)) STORED NOT NULL,
    given_name text,
    family_name text,
    title text,
    type text DEFAULT 'adult' NOT NULL,
    gender text,
    email text,
    email_key text GENERATED ALWAYS AS (lower(email)) STORED,
    phone text,
    date_of_birth date,
    nationality char(2),
    passport_sealed bytea,
    passport_key_id text,
    passport_index bytea,
    passport_expiry date,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_passengers PRIMARY KEY (id),
    CONSTRAINT uq_passengers_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_passengers_email_key_name_key UNIQUE (tenant_id, email_key, name_key),
    CONSTRAINT uq_passengers_passport_index UNIQUE (tenant_id, passport_index),
    CONSTRAINT fk_passengers_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_passengers_name_key ON passengers (tenant_id, name_key);

CREATE TABLE offers (
    id text NOT NULL,
    tenant_id uuid NOT NULL,
    session_id uuid,
    kind text NOT NULL,
    supplier text NOT NULL,
    supplier_ref text NOT NULL,
    price numeric(18, 4) NOT NULL,
    currency char(3) NOT NULL,
    expires_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_offers PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_offers_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE SET NULL (session_id),
    CONSTRAINT ck_offers_kind CHECK (kind IN ('flight', 'hotel')),
    CONSTRAINT ck_offers_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_offers_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_offers_session_id ON offers (tenant_id, session_id);

CREATE TABLE bookings (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    session_id uuid,
    enquiry_id uuid,
    kind text NOT NULL,
    supplier text NOT NULL,
    supplier_ref text NOT NULL,
    locator text,
    status text NOT NULL,
    offer_id text,
    cost numeric(18, 4) NOT NULL,
    currency char(3) NOT NULL,
    hold_expires_at timestamptz,
    refund numeric(18, 4),
    refund_currency char(3),
    data jsonb DEFAULT '{}' NOT NULL,
    tool_call_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_bookings PRIMARY KEY (id),
    CONSTRAINT uq_bookings_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_bookings_session_id FOREIGN KEY (tenant_id, session_id)
        REFERENCES sessions (tenant_id, id) ON DELETE SET NULL (session_id),
    CONSTRAINT fk_bookings_tool_call_id FOREIGN KEY (tenant_id, tool_call_id)
        REFERENCES tool_calls (tenant_id, id),
    CONSTRAINT uq_bookings_tool_call_id UNIQUE (tenant_id, tool_call_id),
    CONSTRAINT ck_bookings_kind CHECK (kind IN ('flight', 'hotel')),
    CONSTRAINT ck_bookings_status
        CHECK (status IN ('tentative', 'confirmed', 'ticketed', 'schedule_change', 'cancelled', 'failed', 'pending', 'requested')),
    CONSTRAINT ck_bookings_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ck_bookings_refund CHECK ((refund IS NULL) = (refund_currency IS NULL)),
    CONSTRAINT fk_bookings_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_bookings_created_at_id ON bookings (tenant_id, created_at, id);
CREATE INDEX ix_bookings_hold_expires_at ON bookings (status, hold_expires_at) WHERE hold_expires_at IS NOT NULL;
CREATE INDEX ix_bookings_locator ON bookings (tenant_id, locator);
CREATE INDEX ix_bookings_session_id ON bookings (tenant_id, session_id);

CREATE TABLE booking_passengers (
    tenant_id uuid NOT NULL,
    booking_id uuid NOT NULL,
    passenger_id uuid NOT NULL,
    position integer NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_booking_passengers PRIMARY KEY (tenant_id, booking_id, passenger_id),
    CONSTRAINT fk_booking_passengers_booking_id FOREIGN KEY (tenant_id, booking_id)
        REFERENCES bookings (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_booking_passengers_passenger_id FOREIGN KEY (tenant_id, passenger_id)
        REFERENCES passengers (tenant_id, id),
    CONSTRAINT fk_booking_passengers_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_booking_passengers_passenger_id ON booking_passengers (tenant_id, passenger_id);

CREATE TABLE tickets (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    booking_id uuid NOT NULL,
    passenger_id uuid NOT NULL,
    number text NOT NULL,
    status text DEFAULT 'open' NOT NULL,
    issued_at timestamptz NOT NULL,
    base numeric(18, 4),
    taxes numeric(18, 4),
    total numeric(18, 4) NOT NULL,
    currency char(3) NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_tickets PRIMARY KEY (id),
    CONSTRAINT fk_tickets_booking_id FOREIGN KEY (tenant_id, booking_id)
        REFERENCES bookings (tenant_id, id),
    CONSTRAINT fk_tickets_passenger_id FOREIGN KEY (tenant_id, passenger_id)
        REFERENCES passengers (tenant_id, id),
    CONSTRAINT uq_tickets_number UNIQUE (tenant_id, number),
    CONSTRAINT ck_tickets_status CHECK (status IN ('open', 'flown', 'refunded', 'exchanged', 'void')),
    CONSTRAINT ck_tickets_number CHECK (number ~ '^[0-9]{3}-?[0-9]{10}$'),
    CONSTRAINT ck_tickets_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_tickets_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_tickets_booking_id ON tickets (tenant_id, booking_id);
CREATE INDEX ix_tickets_passenger_id ON tickets (tenant_id, passenger_id);

CREATE TABLE house_orders (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    key text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    price numeric(18, 4) NOT NULL,
    currency char(3) NOT NULL,
    data jsonb DEFAULT '{}' NOT NULL,
    cancel_quote jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_house_orders PRIMARY KEY (id),
    CONSTRAINT uq_house_orders_key UNIQUE (tenant_id, key),
    CONSTRAINT ck_house_orders_kind CHECK (kind IN ('flight', 'hotel')),
    CONSTRAINT ck_house_orders_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT fk_house_orders_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

CREATE TABLE tenant_credentials (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    supplier text NOT NULL,
    sealed bytea NOT NULL,
    key_id text NOT NULL,
    rotated_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_tenant_credentials PRIMARY KEY (id),
    CONSTRAINT uq_tenant_credentials_supplier UNIQUE (tenant_id, supplier),
    CONSTRAINT ck_tenant_credentials_supplier CHECK (char_length(supplier) <= 64),
    CONSTRAINT fk_tenant_credentials_tenant_id FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
