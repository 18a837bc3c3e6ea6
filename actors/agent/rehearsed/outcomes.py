"""Texts of the scripts about tools' results."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from .talk import Call

NOTICE = "This is a rehearsal: no real model is connected, I follow a script."
"""The first words to a user, so that the script is not mistaken for a model."""

DESK_NOTICE = "(Rehearsal)"
"""The first word of a desk, whose text follows the orchestrator's notice."""


def trouble(call: Call, what: str) -> str | None:
    """Why ``what`` ("the booking") failed, in a sentence or two; None if it succeeded."""
    if call.approval is not None:
        return f"{_start(what)} still waits for approval ({call.approval})."
    error = call.error
    if error is None:
        reason = call.output.get("reason") or call.output.get("error_code")
        detail = call.output.get("detail")
        return f"{_start(what)} was refused: {_reason(str(reason), detail)}." if reason else None
    if error.startswith("Approval denied"):
        why = call.output.get("reason")
        return f"{_start(what)} was denied{f' ({why})' if why else ''}, so nothing was done."
    code = error.split(":", 1)[0]
    if code == "outcome_unknown":
        return f"It is not known whether {what} went through. Please check before anything is tried again."
    return _CODES.get(code, "{what} failed: {error}.").format(what=_start(what), error=error.rstrip("."))


_CODES = {
    "approval_expired": "{what} was not decided in time, so nothing was done. Tell me if I shall prepare it again.",
    "approval_stale": "{what} was approved too long ago, so nothing was done. Tell me if I shall prepare it again.",
    "changed_since_approval": "{what} has changed since it was approved, so nothing was done. It must be asked again.",
    "permission_denied": "{what} is not allowed for you, so nothing was done.",
}


def _reason(reason: str, detail: object) -> str:
    words = reason.replace("_", " ")
    return f"{words} ({detail})" if detail else words


def _start(what: str) -> str:
    return what[:1].upper() + what[1:]


def cancelled(call: Call) -> str:
    """What a cancellation has brought. A refund that is not stated is unknown, not nothing."""
    refund, goes_to = call.output.get("refund"), call.output.get("refund_to")
    return f"Cancelled; refund: {refund or 'unknown'}{f', to {goes_to}' if goes_to else ''}."


def price(value: object) -> Decimal:
    """The amount of ``INR 45200.00``; beyond all others if there is none."""
    try:
        return Decimal(str(value).rsplit(" ", 1)[-1].replace(",", ""))
    except InvalidOperation:
        return Decimal("Infinity")


def listed(output: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The list under ``key``, empty if there is none."""
    found = output.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
