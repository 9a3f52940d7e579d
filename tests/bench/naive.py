"""What people write: FastAPI and an HTTP client, with the same features, each done in the straightforward way.

- The bearer is looked up by its keyed digest in the database; a token bucket for each key.
- The body is parsed strictly: no name twice in an object, no NaN.
- Cedar decides with handles that were parsed once, under the session's count of denials, which is read and kept
  in the transaction that records the call; a tool that is not as its owner has read it is denied.
- The call is a row of its own, committed before it is forwarded; how it ended is another, committed behind the
  answer. Both are links of one chain of hashes; secrets are taken out of the arguments by their names and looks.
  The log is indexed by time, member, tool and decision (naive_log.py).
- The member's token is read from the database and opened with a key that is made of the bearer.
- The database is called in threads, as FastAPI does, and HTTP connections are kept.

Nothing is slow on purpose, and nothing is shared between calls but connections and parsed policies. Measured
against; never a part of Wicket. Its configuration is in `NAIVE`, as JSON.
"""

import hmac
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import cedarpy
import httpx2
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from tests.bench.naive_log import Call, Log, Verdict
from tests.bench.policies import SERVICE, policies
from wicket.core.keys import Binding, key_pair, open_sealed, private_key, seal
from wicket.core.policy.compile import compile_policy
from wicket.core.policy.document import parse_policy

NAMESPACE = "Custom_benchMCP"
DIGEST_KEY = b"the digest key of the naive proxy"
BINDING = Binding("agent", "member", SERVICE, "connection")
TIERS = {"work": "read", "erase": "destructive"}
SECRET_NAME = re.compile(r"token|password|secret|authorization|credential|cookie|api_?key", re.IGNORECASE)
SECRET_TEXT = re.compile(r"gh[pousr]_\w{10}|xox[a-z]-|sk-[\w-]{20}|AKIA[A-Z0-9]{12}|eyJ[\w-]+\.|Bearer \S{6}")


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


def parse_strictly(body: bytes) -> Any:
    """Raises ValueError."""
    return json.loads(body, object_pairs_hook=_object, parse_constant=_no_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def redacted(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: "[redacted]" if SECRET_NAME.search(name) else redacted(item) for name, item in value.items()
        }
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return "[redacted]" if isinstance(value, str) and SECRET_TEXT.search(value) else value


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


def filled_log(config: dict[str, str]) -> Log:
    """With one member, whose token is sealed, and the tools, reviewed."""
    log, key = Log(config["database"]), config["key"]
    sealed = seal(config["token"].encode(), key_pair(key)[1], BINDING)
    log.add_member(digest_of(key), "key", "member", SERVICE, sealed)
    for tool in TIERS:
        log.add_tool(SERVICE, tool, definition=tool)
    return log


def digest_of(bearer: str) -> bytes:
    return hmac.digest(DIGEST_KEY, bearer.encode(), "sha256")


def judging() -> Callable[[str, str, int], Verdict]:
    """(tool, address, denials of the session) -> what Cedar says."""
    policy_set, entities = parsed_policies(), parsed_entities()

    def judged(tool: str, caller: str, denials: int) -> Verdict:
        request: dict[str, Any] = {
            "principal": {"type": f"{NAMESPACE}::User", "id": "user"},
            "action": {"type": f"{NAMESPACE}::Action", "id": tool},
            "resource": {"type": f"{NAMESPACE}::Service", "id": SERVICE},
            "context": {
                "ip": {"__extn": {"fn": "ip", "arg": caller}},
                "session": {"denyCount": denials},
            },
        }
        result = cedarpy.is_authorized(request, policy_set, entities)
        return Verdict(result.allowed, result.diagnostics.reasons)

    return judged


def build(config: dict[str, str]) -> FastAPI:
    log, judged = filled_log(config), judging()
    buckets: dict[str, Bucket] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
        async with httpx2.AsyncClient(limits=limits, timeout=30) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    async def forwarded(message: Any, bearer: str, member: str) -> httpx2.Response:
        sealed = await run_in_threadpool(log.find_sealed, member, SERVICE)
        if sealed is None:
            raise HTTPException(412)
        token = open_sealed(sealed, private_key(bearer), BINDING).decode()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        try:
            answer: httpx2.Response = await app.state.client.post(
                config["upstream"], json=message, headers=headers
            )
        except httpx2.HTTPError as error:
            raise HTTPException(502) from error
        return answer

    @app.post("/mcp")
    async def call(
        request: Request,
        authorization: Annotated[str, Header()],
        x_claude_code_session_id: Annotated[str, Header()] = "",
    ) -> Response:
        bearer = authorization.removeprefix("Bearer ")
        found = await run_in_threadpool(log.find_key, digest_of(bearer))
        if found is None:
            raise HTTPException(401)
        key, member = found
        if not buckets.setdefault(key, Bucket(1e6, 1e6)).take():
            raise HTTPException(429)
        try:
            message = parse_strictly(await request.body())
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        name = message["params"]["name"].removeprefix(f"{SERVICE}__")
        caller = request.client.host if request.client else ""
        arguments = redacted(message["params"]["arguments"])
        made = Call(key, member, x_claude_code_session_id, SERVICE, name, caller, arguments)
        entry, verdict = await run_in_threadpool(log.record, made, partial(judged, name, caller))
        if not verdict.allowed:
            refusal = {"code": -32600, "message": f"Authorization denied: {name}"}
            return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": refusal})
        message["params"]["name"] = name
        sent_s = time.perf_counter()
        try:
            answer = await forwarded(message, bearer, member)
        except HTTPException:
            await run_in_threadpool(log.end, entry, "failed", 1000 * (time.perf_counter() - sent_s), 0, 0)
            raise
        took_ms = 1000 * (time.perf_counter() - sent_s)
        body, status = answer.content, answer.status_code
        ended = BackgroundTask(log.end, entry, "ok", took_ms, status, len(body))
        return Response(body, status, media_type=answer.headers["content-type"], background=ended)

    return app


def create() -> FastAPI:
    """For uvicorn's `--factory`."""
    return build(json.loads(os.environ["NAIVE"]))


if __name__ == "__main__":
    uvicorn.run(create(), port=int(os.environ["PORT"]), access_log=False, log_level="warning")
