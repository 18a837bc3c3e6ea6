"""``/internal``: metrics and the supervision tree, for operators."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime

from prometheus_client.exposition import choose_encoder

from ...actors.domain.audit import wire_time
from ...actors.foundation import metrics
from ...actors.root import Tree
from ..operation import OBJECT, operation
from ..request_context import Answer, RequestContext


@operation(
    name="metrics",
    reply={},
    media="text/plain",
    example="# HELP voyagent_sse_viewers Streams open.\n# TYPE voyagent_sse_viewers gauge\nvoyagent_sse_viewers 3.0\n",
)
async def metrics_text(call: RequestContext) -> Answer:
    """Return all metrics in the Prometheus text format, or in OpenMetrics if ``Accept`` requests it."""
    metrics.LOOP_TASKS.set(len(asyncio.all_tasks()))
    encode, content_type = choose_encoder(call.request.headers.get("Accept", ""))
    return Answer(encode(metrics.REGISTRY), headers={"Content-Type": content_type})


@operation(
    reply=OBJECT,
    example={"name": "root", "class": "RootActor", "state": "running", "children": [], "children_total": 0},
    addition=True,
)
async def actors(call: RequestContext) -> Answer:
    """Return the supervision tree: each actor with its state, mailbox and counters, at most 100 children per actor.

    With a database ``lease`` says which shards of the agencies this node owns, in which epochs, and how old its last
    heartbeat is.
    """
    tree = await call.services.root.ask(Tree())
    ownership = call.services.ownership
    if ownership.coordinated:
        tree = {**tree, "lease": ownership.described()}
    return Answer(json.dumps(tree, separators=(",", ":"), default=_plain).encode())


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return wire_time(value)
    raise TypeError(type(value).__name__)
