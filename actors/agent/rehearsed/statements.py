"""The accounting desk's script for statements of a BSP: fetches one, and reconciles it."""

from __future__ import annotations

import re

from .outcomes import listed
from .talk import Call, Talk
from .turns import ToolUse, Turn
from .words import dates, has, newest

_COUNTRY = re.compile(r"\b(?:of|for|in)\s+(?P<code>[A-Z]{2})\b")
_PERIOD = 2
"""Days a period is named by."""


def reply(talk: Talk, opening: str) -> Turn | None:
    """The next call for what the user asked about a statement; None if the request is another."""
    words = talk.latest_words
    if "reconcile_bsp" in talk.tools and has(words, "reconcil") and not dates(words, talk.today):
        fetched = talk.latest("fetch_bsp_statement")
        if fetched is not None and fetched.output.get("report_id"):
            return _reconcile(fetched, opening)
    if "fetch_bsp_statement" not in talk.tools or not has(words, "bsp", "reconcil"):
        return None
    country, period = newest(_country, talk.request), dates(words, talk.today)
    if country is None or len(period) < _PERIOD:
        return Turn(f"{opening}Of which country and which billing period (for example IN, 2026-11-16 to 2026-11-22)?")
    given = {"country": country, "period_start": period[0].isoformat(), "period_end": period[1].isoformat()}
    return Turn(f"{opening}I fetch the BSP statement of {country}.", ToolUse("fetch_bsp_statement", given))


def after(talk: Talk, call: Call) -> Turn | None:
    """Reconciles what was fetched, if that was asked for."""
    asked = newest(lambda text: has(text, "reconcil") or None, talk.request)
    if call.name != "fetch_bsp_statement" or not call.output.get("report_id") or not asked:
        return None
    return _reconcile(call, f"{told(call)} ") if "reconcile_bsp" in talk.tools else None


def told(call: Call) -> str | None:
    """What came of a call, in a sentence; None if it is no call of this script."""
    output = call.output
    match call.name:
        case "fetch_bsp_statement":
            return (
                f"The statement of {output.get('country')} has {output.get('transaction_count')} transactions: sales "
                f"{output.get('sales_total')}, refunds {output.get('refund_total')}, commission "
                f"{output.get('commission_total')}, to remit {output.get('net_remittance')}."
            )
        case "reconcile_bsp":
            summary = output.get("summary") or {}
            issues = "".join(f"\n{each.get('outcome')}: {each.get('evidence')}" for each in listed(output, "issues"))
            return f"{summary.get('matched')} match ({summary.get('matched_amount')}).{issues}"
    return None


def _country(text: str) -> str | None:
    found = _COUNTRY.search(text)
    return None if found is None else found["code"]


def _reconcile(fetched: Call, opening: str) -> Turn:
    given = {"report_id": fetched.output["report_id"]}
    return Turn(f"{opening}I reconcile it with our tickets.", ToolUse("reconcile_bsp", given))
