"""For operators: the figures and the supervision tree."""

from __future__ import annotations

import json
from datetime import datetime

from prometheus_client.exposition import choose_encoder

from ...actors.domain.audit import wire_time
from ...actors.foundation import metrics
from ...actors.root import Tree
from ..request_context import Answer, RequestContext


async def metrics_text(call: RequestContext) -> Answer:
    """Every series of the process in Prometheus' text format, or OpenMetrics if ``Accept`` asks for it."""
    encode, content_type = choose_encoder(call.request.headers.get("Accept", ""))
    return Answer(encode(metrics.REGISTRY), headers={"Content-Type": content_type})


async def actors(call: RequestContext) -> Answer:
    """The supervision tree: every actor with its state, mailbox and figures; at most 100 children of each."""
    tree = await call.services.root.ask(Tree())
    return Answer(json.dumps(tree, separators=(",", ":"), default=_plain).encode())


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return wire_time(value)
    raise TypeError(type(value).__name__)
