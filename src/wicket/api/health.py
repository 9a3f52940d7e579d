"""Whether it lives and how it does: for probes and collectors, which hold no token."""

import hmac
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from wicket.api.guards import Guard, by
from wicket.api.http import Parts, bearer_of, open_router
from wicket.api.models import Out
from wicket.api.shapes import InstanceStatusOut
from wicket.core.errors import Unauthenticated


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
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
