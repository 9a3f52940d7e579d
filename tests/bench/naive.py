"""What people write: FastAPI and an HTTP client, with the same features, each done in the straightforward way.

The key by its digest, a token bucket, parsed policy handles, a row committed for each call, the member's token
opened for each call. Measured against; never a part of Wicket. Its configuration is in `NAIVE`, as JSON.
"""

import hmac
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import uuid4

import cedarpy
import httpx2
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pysqlite3 import dbapi2 as sqlite

from tests.bench.policies import SERVICE, policies
from wicket.core.keys import Binding, key_pair, open_sealed, seal
from wicket.core.policy.compile import compile_policy
from wicket.core.policy.document import parse_policy

NAMESPACE = "Custom_benchMCP"
DIGEST_KEY = b"the digest key of the naive proxy"
BINDING = Binding("agent", "member", SERVICE, "connection")
TIERS = {"work": "read", "erase": "destructive"}


@dataclass
class Bucket:
    burst: float
    per_second: float
    level: float = field(init=False)
    at_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self) -> bool:
        now_s = time.monotonic()
        self.level = min(self.burst, self.level + (now_s - self.at_s) * self.per_second)
        self.at_s = now_s
        if self.level < 1:
            return False
        self.level -= 1
        return True


class Audit:
    """A row, committed."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._database = sqlite.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE audit (id TEXT PRIMARY KEY, at REAL, member TEXT, tool TEXT, decision TEXT, body TEXT)"
        )

    def write(self, member: str, tool: str, decision: str, arguments: object) -> None:
        with self._lock:
            self._database.execute(
                "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)",
                (str(uuid4()), time.time(), member, tool, decision, json.dumps(arguments)),
            )
            self._database.commit()


def parsed_policies() -> cedarpy.PolicySet:
    compiled = {
        f"policy{number}": compile_policy(parse_policy(raw), NAMESPACE)
        for number, raw in enumerate(policies())
    }
    return cedarpy.PolicySet.from_json_str(
        json.dumps({"staticPolicies": compiled, "templates": {}, "templateLinks": []})
    )


def parsed_entities() -> cedarpy.Entities:
    action = f"{NAMESPACE}::Action"
    return cedarpy.Entities.from_json_str(
        json.dumps(
            [
                {
                    "uid": {"type": action, "id": tool},
                    "attrs": {},
                    "parents": [{"type": action, "id": f"tier:{tier}"}],
                }
                for tool, tier in TIERS.items()
            ]
        )
    )


def build(config: dict[str, str]) -> FastAPI:
    key = config["key"]
    private, public = key_pair(key)
    sealed = seal(config["token"].encode(), public, BINDING)
    members = {hmac.digest(DIGEST_KEY, key.encode(), "sha256"): "member"}
    bucket = Bucket(1e6, 1e6)
    audit = Audit(config["database"])
    policy_set, entities = parsed_policies(), parsed_entities()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
        async with httpx2.AsyncClient(limits=limits, timeout=30) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    def is_allowed(tool: str, caller: str) -> bool:
        request: dict[str, Any] = {
            "principal": {"type": f"{NAMESPACE}::User", "id": "user"},
            "action": {"type": f"{NAMESPACE}::Action", "id": tool},
            "resource": {"type": f"{NAMESPACE}::Service", "id": SERVICE},
            "context": {
                "ip": {"__extn": {"fn": "ip", "arg": caller}},
                "session": {"denyCount": 0},
            },
        }
        return cedarpy.is_authorized(request, policy_set, entities).allowed

    @app.post("/mcp")
    async def call(request: Request, authorization: Annotated[str, Header()]) -> Response:
        bearer = authorization.removeprefix("Bearer ")
        member = members.get(hmac.digest(DIGEST_KEY, bearer.encode(), "sha256"))
        if member is None:
            raise HTTPException(401)
        if not bucket.take():
            raise HTTPException(429)
        message = await request.json()
        name = message["params"]["name"].removeprefix(f"{SERVICE}__")
        caller = request.client.host if request.client else ""
        allowed = is_allowed(name, caller)
        decision = "ALLOW" if allowed else "DENY"
        await run_in_threadpool(audit.write, member, name, decision, message["params"]["arguments"])
        if not allowed:
            error = {"code": -32600, "message": f"Authorization denied: {name}"}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": error})
        token = open_sealed(sealed, private, BINDING).decode()
        message["params"]["name"] = name
        answer = await app.state.client.post(
            config["upstream"],
            json=message,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"},
        )
        return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])

    return app


def create() -> FastAPI:
    """For uvicorn's `--factory`."""
    return build(json.loads(os.environ["NAIVE"]))


if __name__ == "__main__":
    uvicorn.run(create(), port=int(os.environ["PORT"]), access_log=False, log_level="warning")
