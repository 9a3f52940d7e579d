"""What the description says of requests, by generated requests to a whole instance: none of them surprises it."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.as_described import check_answer
from tests.instance import Instance

CHECKS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS: Final = frozenset({"stream_entries"})
FATAL: Final = frozenset({"delete_agent"})
"""What would leave nothing for the operations after it: it is sent ids that were made up."""
OURS: Final = frozenset({500, 503})
"""No input may earn these; 502 and 504 are of servers that generated addresses name."""
REQUEST_S: Final = 20.0


@dataclass(frozen=True)
class Target:
    """An instance, who asks it, and what is there."""

    url: str
    token: str
    ids: Mapping[str, str]


async def set_up(wicket: Instance) -> Target:
    token = await wicket.token()
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=wicket.url, headers=headers) as http:
        return Target(wicket.url, token, await make_objects(http))


async def make_objects(http: httpx2.AsyncClient) -> dict[str, str]:
    async def send(method: str, path: str, body: object = None) -> Any:
        return (await http.request(method, path, json=body)).json()

    agent = (await send("POST", "/api/agents", {"name": "helper", "trustMode": "trusted"}))["id"]
    below = f"/api/agents/{agent}"
    await send("PUT", f"{below}/services", {"services": ["github"]})
    (member,) = (await send("GET", f"{below}/members"))["items"]
    (policy,) = (await send("GET", f"{below}/policies"))["items"]
    invite = await send("POST", f"{below}/invite", {"email": "somebody@example.com"})
    token = await send("POST", "/api/users/me/tokens", {"name": "spare"})
    await send("POST", "/api/mcp/mock-call", {"agentId": agent, "service": "github", "tool": "get_me"})
    entry = (await send("GET", "/api/audit"))["items"][0]
    return {
        "agentId": agent,
        "memberId": member["id"],
        "policyId": policy["id"],
        "inviteId": invite["id"],
        "tokenId": token["id"],
        "entryId": entry["id"],
        "service": "github",
        "tool": "get_me",
        "version": "1",
    }


def ask_everything(
    target: Target, modes: Sequence[GenerationMode], *, examples: int, tags: Collection[str] | None = None
) -> int:
    """So many requests of each mode to each operation, or those of some tags; answers how many were sent."""
    sent = 0
    schema = schemathesis.openapi.from_url(f"{target.url}/api/openapi.json")
    operations = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    for operation in sorted(operations, key=lambda one: one.method == "delete"):
        name = operation.definition.raw["operationId"]
        if name in ENDLESS or (tags is not None and not set(tags).intersection(operation.tags or ())):
            continue
        for mode in modes:
            sent += ask(target, operation, mode, examples=examples, is_fatal=name in FATAL)
    return sent


def ask(target: Target, operation: Any, mode: GenerationMode, *, examples: int, is_fatal: bool) -> int:
    asked = 0
    names = set(re.findall(r"{(\w+)}", operation.path))
    real = {name: target.ids[name] for name in names & target.ids.keys()}

    @given(case=operation.as_strategy(generation_mode=mode), is_real=st.booleans())
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any, *, is_real: bool) -> None:
        nonlocal asked
        asked += 1
        if is_real and not is_fatal:
            case.path_parameters = {**(case.path_parameters or {}), **real}
        headers = {"Authorization": f"Bearer {target.token}"}
        response = case.call(target.url, headers=headers, timeout=REQUEST_S)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code not in OURS, (operation.label, response.text)
        check_answer(
            operation.method.upper(),
            urlsplit(response.request.url).path,
            response.status_code,
            response.headers.get("content-type", [""])[0],
            response.content,
            sent=bool(response.request.body),
        )

    with suppress(Unsatisfiable):  # nothing can be wrong about a request that says nothing
        send()
    return asked


async def test_generated_agents_and_policies_are_answered_as_the_description_says(tmp_path: Path) -> None:
    async with Instance.started(tmp_path) as wicket:
        target = await set_up(wicket)
        sent = await asyncio.to_thread(
            ask_everything, target, [GenerationMode.POSITIVE], examples=1, tags=["agents", "policies"]
        )
    assert sent > 15


@pytest.mark.slow
async def test_no_generated_request_is_answered_as_nobody_said(tmp_path: Path) -> None:
    """Also those that break the description's own rules."""
    async with Instance.started(tmp_path) as wicket:
        target = await set_up(wicket)
        sent = await asyncio.to_thread(ask_everything, target, list(GenerationMode), examples=10)
    assert sent > 1_000
