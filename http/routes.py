"""The route table: one line per operation."""

from __future__ import annotations

from typing import Any, Final

from .examples import UUID
from .guards import (
    ADMIN,
    DECIDER,
    INTERNAL,
    LEAD,
    MYSELF,
    PERSON,
    PERSON_ADMIN,
    PERSON_WRITER,
    PUBLIC,
    READER,
    STREAM,
    WRITER,
)
from .handlers import (
    accounts,
    api_keys,
    approvals,
    health,
    internal,
    invites,
    members,
    messages,
    money,
    proofs,
    second_factor,
    sessions,
    signed_in,
    tenant_settings,
    usage,
)
from .route import EVENT_STREAM, Route
from .schemas.accounts import (
    AuthResponse,
    PublicUser,
    RefreshRequest,
    SignInRequest,
    SignOutRequest,
    SignUpRequest,
    TokenPairResponse,
)
from .schemas.api_keys import CreateApiKeyRequest, CreateApiKeyResponse, ListApiKeysResponse
from .schemas.approvals import ApprovalItem, ApprovalListQuery, ApprovalListResponse, ResolveApprovalRequest
from .schemas.invites import (
    AcceptInviteRequest,
    CreateInviteRequest,
    CreateInviteResponse,
    InviteLookupQuery,
    InviteLookupResponse,
    InvitesQuery,
    ListInvitesResponse,
)
from .schemas.members import MemberItem, MemberPatchRequest, MembersQuery, MembersResponse, SignedInSessionsResponse
from .schemas.proofs import (
    ChangePasswordRequest,
    RequestPasswordResetRequest,
    RequestPasswordResetResponse,
    ResetPasswordRequest,
    ResetPasswordResponse,
    SendVerificationEmailResponse,
    UpdateProfileRequest,
    UpdateProfileResponse,
    VerifyEmailRequest,
    VerifyEmailResponse,
)
from .schemas.second_factor import (
    SignInTotpRequest,
    TotpDisableRequest,
    TotpSetupResponse,
    TotpStatusResponse,
    TotpVerifyRequest,
)
from .schemas.sessions import (
    CancelRequest,
    CancelResponse,
    EventsQuery,
    SendMessageRequest,
    SessionCreateRequest,
    SessionCreateResponse,
    SessionListQuery,
    SessionListResponse,
    SessionRenameRequest,
    SessionSummaryResponse,
    TicketResponse,
    TranscriptQuery,
    TranscriptResponse,
)
from .schemas.tenant_settings import TenantSettingsPatchRequest, TenantSettingsResponse
from .schemas.usage import UsageQuery, UsageResponse

OBJECT: Final[dict[str, Any]] = {"type": "object", "additionalProperties": True}
TEXTS: Final[dict[str, Any]] = {"type": "object", "additionalProperties": {"type": "string"}}

OK: Final = {"status": "ok"}
READY: Final = {
    "status": "ok",
    "checks": {"service": "ok", "database": "ok", "process": "ok", "redis": "ok", "tasks": "ok", "mail": "ok"},
}
NOT_READY: Final = {503: ("not_ready",)}
TREE: Final = {"name": "root", "class": "RootActor", "state": "running", "children": [], "children_total": 0}
NO_DATABASE: Final = {503: ("VOYAGENT_DB_URL is not configured.", "db unreachable")}
NO_REDIS: Final = {503: ("VOYAGENT_REDIS_URL is not configured.", "redis unreachable")}
THROTTLED: Final = {429: ("too_many_attempts",)}
SIGN_UP: Final = {**THROTTLED, 400: ("password_too_weak",), 409: ("email_already_registered",)}
SIGN_IN: Final = {**THROTTLED, 401: ("invalid_credentials", "account_inactive", "email_not_verified", "totp_required")}
BAD_TOKEN: Final = {**THROTTLED, 400: ("token_invalid",)}
RESET: Final = {**THROTTLED, 400: ("password_too_weak", "token_invalid")}
NEW_PASSWORD: Final = {**THROTTLED, 400: ("password_too_weak",), 403: ("invalid_password",)}
PROFILE: Final = {**THROTTLED, 409: ("email_already_registered",)}
SIGN_IN_TOTP: Final = {
    **THROTTLED,
    400: ("totp_not_enabled",),
    401: ("invalid_credentials", "account_inactive", "email_not_verified", "totp_invalid"),
}
TOTP_ON: Final = {409: ("totp_already_enabled",)}
TOTP_CODE: Final = {**THROTTLED, 400: ("totp_not_initialized",), 401: ("totp_invalid",)}
TOTP_OFF: Final = {**THROTTLED, 403: ("invalid_password", "totp_invalid")}
REFRESH: Final = {**THROTTLED, 401: ("invalid_refresh_token",)}
NEW_KEY: Final = {**THROTTLED, 409: ("api_key_limit",)}
NO_KEY: Final = {404: ("not_found",)}
NEW_INVITE: Final = {**THROTTLED, 409: ("email_already_registered", "invite_already_exists")}
BAD_STATUS: Final = {400: ("invalid_status",)}
REVOKED: Final = {"invite": {"id": UUID, "email": "ravi@example.com", "role": "agent", "status": "revoked"}}
REVOKE_INVITE: Final = {404: ("invite_not_found",), 409: ("invite_not_pending",)}
LOOKUP: Final = {400: ("invite_not_pending", "invite_expired"), 404: ("invite_not_found",)}
ACCEPT: Final = {
    400: ("password_too_weak", "invite_not_pending", "invite_expired"),
    404: ("invite_not_found",),
    409: ("email_already_registered",),
}
MEMBER: Final = {404: ("member_not_found",), 409: ("last_admin",)}
ACTOR_SUSPENDED: Final = {503: ("agent_runtime_unavailable",)}
SETTINGS: Final = {**ACTOR_SUSPENDED, 422: ("rate_limit_hour_below_minute",)}
NO_SESSION: Final = {404: ("session_not_found",)}
NO_APPROVAL: Final = {404: ("approval_not_found",)}
BAD_FILTER: Final = {422: ("invalid_session_id",)}
RENAME: Final = {**NO_SESSION, **ACTOR_SUSPENDED, 422: ("title_empty",)}
DELETE: Final = {**NO_SESSION, **ACTOR_SUSPENDED, 409: ("turn_in_progress",)}
CANCEL: Final = {**NO_SESSION, **ACTOR_SUSPENDED, 409: ("no_turn_running",)}
BEFORE: Final = {**NO_SESSION, 422: ("invalid_before",)}
RESOLVE: Final = {**NO_APPROVAL, **ACTOR_SUSPENDED, 409: ("approval_already_resolved",)}
BEGIN: Final = {429: ("too_many_sessions",)}
FOLLOW: Final = {**NO_SESSION, **ACTOR_SUSPENDED, 429: ("too_many_streams",)}
SEND: Final = {
    **NO_SESSION,
    403: ("api_key_not_allowed",),
    409: ("turn_in_progress", "queue_full"),
    422: ("message_required", "message_too_long"),
    429: ("too_many_streams",),
    503: ("shutting_down", "agent_runtime_unavailable"),
}
PERIOD: Final = {**ACTOR_SUSPENDED, 422: ("from must be on or before to", "range_too_long")}
CURSOR: Final = {
    "Last-Event-ID": "The id of the last event received. Replays the events after it; does not start a turn."
}

SESSIONS: Final = "/chat/sessions"
SESSION: Final = "/chat/sessions/{session_id}"

# fmt: off
ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", "/auth/sign-up", accounts.sign_up, PUBLIC, 201, refusals=SIGN_UP,
          body=SignUpRequest, reply=AuthResponse),
    Route("POST", "/auth/sign-in", accounts.sign_in, PUBLIC, refusals=SIGN_IN,
          body=SignInRequest, reply=AuthResponse),
    Route("POST", "/auth/sign-in-totp", second_factor.sign_in_totp, PUBLIC, refusals=SIGN_IN_TOTP,
          body=SignInTotpRequest, reply=AuthResponse),
    Route("POST", "/auth/totp/setup", second_factor.totp_setup, PERSON, refusals=TOTP_ON, reply=TotpSetupResponse),
    Route("POST", "/auth/totp/verify", second_factor.totp_verify, PERSON, refusals=TOTP_CODE,
          body=TotpVerifyRequest, reply=TotpStatusResponse),
    Route("POST", "/auth/totp/disable", second_factor.totp_disable, PERSON, refusals=TOTP_OFF,
          body=TotpDisableRequest, reply=TotpStatusResponse),
    Route("POST", "/auth/refresh", accounts.refresh, PUBLIC, refusals=REFRESH,
          body=RefreshRequest, reply=TokenPairResponse),
    Route("POST", "/auth/sign-out", accounts.sign_out, PUBLIC, 204, body=SignOutRequest, body_required=False),
    Route("GET", "/auth/me", accounts.me, MYSELF, reply=PublicUser),
    Route("PATCH", "/auth/profile", proofs.update_profile, PERSON, refusals=PROFILE,
          body=UpdateProfileRequest, reply=UpdateProfileResponse),
    Route("POST", "/auth/send-verification-email", proofs.send_verification_email, PERSON, refusals=THROTTLED,
          reply=SendVerificationEmailResponse),
    Route("POST", "/auth/verify-email", proofs.verify_email, PUBLIC, refusals=BAD_TOKEN,
          body=VerifyEmailRequest, reply=VerifyEmailResponse),
    Route("POST", "/auth/request-password-reset", proofs.request_password_reset, PUBLIC, refusals=THROTTLED,
          body=RequestPasswordResetRequest, reply=RequestPasswordResetResponse),
    Route("POST", "/auth/reset-password", proofs.reset_password, PUBLIC, refusals=RESET,
          body=ResetPasswordRequest, reply=ResetPasswordResponse),
    Route("POST", "/auth/change-password", proofs.change_password, PERSON, refusals=NEW_PASSWORD,
          body=ChangePasswordRequest, reply=TokenPairResponse, addition=True),
    Route("POST", "/auth/invites", invites.create, PERSON_ADMIN, 201, name="create_invite", idempotent=True,
          refusals=NEW_INVITE, body=CreateInviteRequest, reply=CreateInviteResponse),
    Route("GET", "/auth/invites", invites.page, PERSON_ADMIN, name="list_invites", refusals=BAD_STATUS,
          query=InvitesQuery, reply=ListInvitesResponse),
    Route("POST", "/auth/invites/{invite_id}/revoke", invites.revoke, PERSON_ADMIN, name="revoke_invite",
          idempotent=True, refusals=REVOKE_INVITE, reply=OBJECT, example=REVOKED),
    Route("GET", "/auth/invites/lookup", invites.lookup, PUBLIC, name="lookup_invite", refusals=LOOKUP,
          query=InviteLookupQuery, reply=InviteLookupResponse),
    Route("POST", "/auth/accept-invite", invites.accept, PUBLIC, 201, name="accept_invite", refusals=ACCEPT,
          body=AcceptInviteRequest, reply=AuthResponse),
    Route("POST", "/auth/api-keys", api_keys.create, PERSON_WRITER, 201, name="create_api_key_route", idempotent=True,
          refusals=NEW_KEY, body=CreateApiKeyRequest, reply=CreateApiKeyResponse),
    Route("GET", "/auth/api-keys", api_keys.page, PERSON, name="list_api_keys_route", reply=ListApiKeysResponse),
    Route("POST", "/auth/api-keys/{key_id}/revoke", api_keys.revoke, PERSON, 204, name="revoke_api_key_route",
          idempotent=True, refusals=NO_KEY),
    Route("GET", "/auth/sessions", signed_in.page, PERSON, name="list_own_sessions",
          reply=SignedInSessionsResponse, addition=True),
    Route("POST", "/auth/sessions/{session_id}/revoke", signed_in.revoke, PERSON, 204, name="revoke_own_session",
          idempotent=True, refusals=NO_SESSION, addition=True),
    Route("GET", "/auth/members", members.page, PERSON_ADMIN, name="list_members",
          query=MembersQuery, reply=MembersResponse, addition=True),
    Route("PATCH", "/auth/members/{user_id}", members.change, PERSON_ADMIN, name="change_member", refusals=MEMBER,
          body=MemberPatchRequest, reply=MemberItem, addition=True),

    Route("GET", "/tenant-settings", tenant_settings.read, READER, name="get_tenant_settings",
          reply=TenantSettingsResponse),
    Route("PATCH", "/tenant-settings", tenant_settings.change, ADMIN, name="patch_tenant_settings", refusals=SETTINGS,
          body=TenantSettingsPatchRequest, reply=TenantSettingsResponse),

    Route("POST", SESSIONS, sessions.create, WRITER, 201, name="create_session", idempotent=True, refusals=BEGIN,
          body=SessionCreateRequest, body_required=False, reply=SessionCreateResponse),
    Route("GET", SESSIONS, sessions.page, READER, name="list_sessions",
          query=SessionListQuery, reply=SessionListResponse),
    Route("GET", SESSION, sessions.read, READER, name="get_session", refusals=NO_SESSION,
          reply=SessionSummaryResponse),
    Route("PATCH", SESSION, sessions.rename, WRITER, name="rename_session", refusals=RENAME,
          body=SessionRenameRequest, reply=SessionSummaryResponse),
    Route("DELETE", SESSION, sessions.delete, WRITER, 204, name="delete_session", refusals=DELETE),
    Route("POST", f"{SESSION}/messages", messages.send, WRITER, name="send_message", idempotent=True, refusals=SEND,
          body=SendMessageRequest, media=EVENT_STREAM, headers=CURSOR),
    Route("GET", f"{SESSION}/messages", sessions.transcript, READER, name="list_messages", refusals=BEFORE,
          query=TranscriptQuery, reply=TranscriptResponse, addition=True),
    Route("GET", f"{SESSION}/events", messages.events, STREAM, name="follow_session", refusals=FOLLOW,
          query=EventsQuery, media=EVENT_STREAM, headers=CURSOR, addition=True),
    Route("POST", f"{SESSION}/ticket", sessions.ticket, READER, 201, name="stream_ticket", refusals=NO_SESSION,
          reply=TicketResponse, addition=True),
    Route("POST", f"{SESSION}/cancel", sessions.cancel, WRITER, 202, name="cancel_turn", refusals=CANCEL,
          body=CancelRequest, body_required=False, reply=CancelResponse, addition=True),

    Route("GET", "/approvals", approvals.page, READER, name="list_approvals", refusals=BAD_FILTER,
          query=ApprovalListQuery, reply=ApprovalListResponse),
    Route("GET", "/approvals/{approval_id}", approvals.read, READER, name="get_approval", refusals=NO_APPROVAL,
          reply=ApprovalItem),
    Route("POST", "/approvals/{approval_id}/resolve", approvals.resolve, DECIDER, name="resolve_approval_endpoint",
          idempotent=True, refusals=RESOLVE, body=ResolveApprovalRequest, reply=ApprovalItem),

    Route("GET", "/reports/usage", usage.report, LEAD, name="usage_report", refusals=PERIOD,
          query=UsageQuery, reply=UsageResponse, addition=True),

    Route("GET", "/health", health.health, PUBLIC, reply=TEXTS, example=OK),
    Route("GET", "/health/live", health.live, PUBLIC, reply=TEXTS, example=OK, addition=True),
    Route("GET", "/health/ready", health.ready, PUBLIC, reply=OBJECT, example=READY, refusals=NOT_READY,
          addition=True),
    Route("GET", "/health/db", health.health_db, PUBLIC, reply=OBJECT, refusals=NO_DATABASE,
          example={**OK, "select_1": 1}),
    Route("GET", "/health/redis", health.health_redis, PUBLIC, reply=OBJECT, refusals=NO_REDIS,
          example={**OK, "ping": True}),
    Route("GET", "/internal/metrics", internal.metrics_text, INTERNAL, name="metrics", reply={}, media="text/plain"),
    Route("GET", "/internal/actors", internal.actors, INTERNAL, reply=OBJECT, addition=True, example=TREE),
    Route("GET", "/schemas/money", money.money_schema, PUBLIC, reply=OBJECT, example=money.MONEY),
)
# fmt: on
