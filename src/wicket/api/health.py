"""Whether it lives and how it does: for probes and collectors, which hold no token."""

import hmac
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from wicket.api.guards import Guard, by
from wicket.api.http import Parts, bearer_of, open_router
from wicket.api.models import Out
from wicket.api.shapes import InstanceStatusOut
from wicket.core.errors import Unauthenticated, Unavailable
from wicket.store.checkpoints import when_due

_CHECKPOINT_AGE: Final = Gauge(
    "wicket_checkpoint_age_seconds",
    "Since the newest checkpoint of the log, whoever wrote it, or since the log began; NaN: nobody knows",
)


class AliveOut(Out):
    status: str = "alive"


def routes() -> APIRouter:
    """`/alive`, `/api/status`, `/metrics`."""
    router = open_router("health")
    router.get("/alive", **by(Guard.PUBLIC))(read_alive)
    router.get("/api/status", **by(Guard.PUBLIC))(read_status)
    text: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    router.get("/metrics", response_class=Response, responses={200: text}, **by(Guard.COLLECTOR))(
        read_metrics
    )
    return router


async def read_alive() -> AliveOut:
    """Answers while the process serves at all."""
    return AliveOut()


async def read_status(parts: Parts) -> InstanceStatusOut:
    """Version, and how database and recorder do."""
    return {"version": parts.version, **await parts.status()}


async def read_metrics(request: Request, parts: Parts) -> Response:
    """Prometheus' text format; asks for the instance's metrics token where one is set."""
    wanted, given = parts.metrics_token, bearer_of(request) or ""
    if wanted is not None and not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Unauthenticated("send the metrics token of this instance: `Authorization: Bearer ...`")
    _CHECKPOINT_AGE.set(await _checkpoint_age_s(parts))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _checkpoint_age_s(parts: Parts) -> float:
    """Asked of the database, as any process may have written it; without one, the rest is told all the same."""
    try:
        newest_at = await parts.db.read(when_due, every=timedelta(0))
    except Unavailable:
        newest_at = None
    return float("nan") if newest_at is None else (parts.now() - newest_at).total_seconds()
