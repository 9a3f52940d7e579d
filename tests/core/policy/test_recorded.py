"""A call comes back from the request that its entry keeps."""

from dataclasses import replace

import pytest

from tests.core.policy.worlds import NOON, PERMIT_ALL, call_of, world_of
from wicket.core.model import Call, EntityUid, JsonObject, Resource, Tier
from wicket.core.policy import engine, recorded
from wicket.core.session import FRESH

REPOSITORY = EntityUid("GitHubMCP::Repository", "a/b")
OWNER = EntityUid("GitHubMCP::Owner", "a")


@pytest.mark.parametrize(
    "call",
    [
        call_of(),
        call_of("delete_file", tier=Tier.DESTRUCTIVE, service="mine", namespace="Custom_mineMCP"),
        call_of("label_write", selector="delete", tier=Tier.DESTRUCTIVE),
        call_of(resources=(Resource(REPOSITORY, (OWNER,), {"archived": False}), Resource(OWNER))),
    ],
)
def test_a_call_is_read_back_from_its_request(call: Call) -> None:
    decision = engine.decide(world_of(PERMIT_ALL), call, FRESH, NOON).decision
    assert decision.request is not None
    again = recorded.call_of(
        decision.request,
        method=call.method,
        service=call.service,
        member_id=call.member_id,
        caller_ip=call.caller_ip,
        arguments={},
    )
    assert again == replace(call, arguments={})
    assert recorded.subject_of(again).tool == call.tool


@pytest.mark.parametrize(
    "request_", [{}, {"action": 1}, {"action": {"type": "A", "id": "b"}, "entities": []}]
)
def test_what_is_no_request_is_refused(request_: JsonObject) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        recorded.call_of(
            request_, method="tools/call", service="github", member_id="m", caller_ip="", arguments={}
        )
