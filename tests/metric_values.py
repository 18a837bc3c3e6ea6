"""The closed set of values that each label of each metric may have, taken from the code where the code has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from voyagent.actors.accounts.outgoing import RESET_REQUEST
from voyagent.actors.agent.tools.catalogue import CATALOGUE
from voyagent.actors.domain import throttles
from voyagent.actors.domain.email_texts import Kind as EmailKind
from voyagent.actors.foundation.config import Settings
from voyagent.actors.runtime.actor_loop import ActorLoop
from voyagent.actors.runtime.envelope import Message
from voyagent.actors.suppliers.drivers import SUPPLIERS
from voyagent.actors.suppliers.protocols import Code
from voyagent.http.console.console import Console
from voyagent.http.middleware import METHODS
from voyagent.http.openapi_responses import refusals
from voyagent.http.reference.documents import Documents
from voyagent.http.request_info import UNMATCHED
from voyagent.http.routes import ROUTES
from voyagent.storage.engine.operations import Operation

HOME = Path(__file__).parents[1]
SERVED = (*ROUTES, *Documents(ROUTES, "1").routes(), *Console().routes())


def names(base: type[Any]) -> set[str]:
    """Of a class and all classes derived from it."""
    return {base.__name__}.union(*map(names, base.__subclasses__()))


def first_arguments(*methods: str) -> Iterator[str]:
    """The texts that are written as the first argument of calls of these methods anywhere in the service."""
    folders = [(HOME / folder).rglob("*.py") for folder in ("actors", "http", "storage")]
    for path in (HOME / "run.py", *chain(*folders)):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in methods and isinstance(node.args[0].value, str):
                    yield node.args[0].value


def codes(*statuses: int) -> set[str]:
    """The error codes that any operation declares for these statuses; for any, without."""
    return {
        code
        for route in ROUTES
        for status, listed in refusals(route).items()
        if not statuses or status in statuses
        for code in listed
    }


def audit_kinds() -> set[str]:
    """The kinds of audit events in the tables of the contract, without those named like a tool."""
    pages = [
        (HOME / "docs/contract/identity.md").read_text("utf-8").partition("## 13. Audit")[2].partition("## 14.")[0],
        (HOME / "docs/contract/business.md").read_text("utf-8").partition("### 6.2 ")[2].partition("### 6.3 ")[0],
    ]
    cells = [cell for page in pages for cell in re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE)]
    return {kind for cell in cells for kind in re.findall(r"`([a-z_]+\.[a-z_]+)`", cell)}


OPERATIONS = {each.name for each in vars(throttles).values() if isinstance(each, throttles.Operation)}
MODELS = set(Settings.model_fields["agent_models"].default) | {Settings.model_fields["agent_model"].default}
OUTCOMES: dict[str, set[str]] = {
    "actor_messages_total": {"reply", "refusal", "failure"},
    "storage_operations_total": {"ok", "refused", "failed"},
    "turns_total": {"completed", "awaiting_approval", "cancelled", "failed", "refused"},
    "model_calls_total": {"ok", "retried", "failed"},
    "tool_calls_total": {"succeeded", "failed", "unknown"},
    "approvals_total": {"requested", "granted", "rejected", "expired"},
    "supplier_requests_total": {"ok", *get_args(Code)},
    "auth_attempts_total": {throttles.OK} | codes(),
    "mail_letters_total": {"sent", "retried", "dropped", "dead"},
}
KINDS: dict[str, set[str]] = {
    "model_tokens_total": {"input", "output", "cache_read", "cache_write"},
    "audit_events_total": audit_kinds() | set(CATALOGUE),
    "mail_letters_total": {*EmailKind, RESET_REQUEST},
}
REASONS: dict[str, set[str]] = {
    "storage_retries_total": {"serialization", "deadlock", "connection", "lock"},
    "supplier_items_skipped_total": set(first_arguments("_Unsellable")) | {"unreadable"},
}
STATES: dict[str, set[str]] = {
    "storage_connections": {"idle", "busy"},
    "mail_outbox_letters": {"due", "held", "dead"},
}
BUILD = {"version", "commit"}
"""Labels with one value a process: what runs."""
ANYWHERE: dict[str, set[str]] = {
    "method": {*METHODS, "other"},
    "path": {UNMATCHED, *(route.path for route in SERVED)},
    "actor": names(ActorLoop),
    "message": names(Message),
    "model": MODELS,
    "tool": set(CATALOGUE),
    "supplier": set(SUPPLIERS),
    "end": {"final", "client", "shutdown", "error"},
    "source": {"memory", "table", "failed"},
    "task": set(first_arguments("task", "record")),
    "bucket": set(get_args(throttles.Kind)),
}
"""Labels that mean the same in every metric."""


def allowed(metric: str, label: str) -> set[str] | None:
    """The values of a label of a metric, named without its prefix; None for one that says what runs."""
    if label in BUILD:
        return None
    match label:
        case "outcome":
            return OUTCOMES[metric]
        case "kind":
            return KINDS[metric]
        case "reason":
            return REASONS[metric]
        case "move":
            return {"claimed", "lost"}
        case "state":
            return STATES[metric]
        case "status":
            return {"401", "403"} if metric == "auth_denied_total" else {str(each) for each in range(200, 600)}
        case "code":
            return codes(401, 403)
        case "operation":
            return names(Operation) | {"Append"} if metric.startswith("storage_") else OPERATIONS | {"password_hash"}
        case _:
            return ANYWHERE[label]
