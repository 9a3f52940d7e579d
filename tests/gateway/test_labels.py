"""What a session has touched is remembered, and decides calls of other services."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.connectors.test_resolve import WORLD
from wicket.core.entities import Entity, EntityCache, EntityKey
from wicket.core.model import Effect, JsonObject, PolicyEffect, PolicyRef
from wicket.core.policy.document import parse_policy
from wicket.core.session import FRESH, Facts
from wicket.core.world import AgentPolicy, MemberKey, World
from wicket.gateway.attempts import judge
from wicket.gateway.targets import CallTarget
from wicket.runtime.recorder import Judged
from wicket.runtime.recorder.entries import facts_after

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = MemberKey("key", "ada", b"d" * 32, live=True)


def policy(number: int, document: JsonObject) -> AgentPolicy:
    effect = PolicyEffect(str(document["effect"]))
    ref = PolicyRef(f"id-{number}", f"p{number}", "p", 1, effect)
    return AgentPolicy(ref, parse_policy({"name": "p", **document}))


def world_with(visibility: str) -> World:
    cache = EntityCache()
    repository = Entity("Repository", "my-org/site", "", {"visibility": visibility})
    cache.keep({EntityKey("github", "Repository", repository.id): (repository,)})
    cache.keep({EntityKey("slack", "Channel", "C0123456789"): ()})
    policies = (
        policy(1, {"service": "github", "effect": "permit", "tools": ["tier:read"]}),
        policy(2, {"service": "slack", "effect": "permit", "tools": ["tier:write"]}),
        policy(
            3,
            {
                "service": "slack",
                "effect": "forbid",
                "tools": ["slack_send_message"],
                "session": [{"type": "hasLabel", "value": "github:private"}],
            },
        ),
    )
    return replace(WORLD, keys={KEY.digest: KEY}, policies=policies, entities=cache, slices={})


def call(world: World, facts: Facts, service: str, tool: str, arguments: JsonObject) -> Judged:
    target = CallTarget(service, tool, arguments)
    return judge(world, facts, target=target, key=KEY, caller_ip="192.0.2.1", now=NOON)


def test_nothing_is_sent_out_after_something_private_was_read() -> None:
    sent = {}
    for visibility in ("public", "private"):
        world = world_with(visibility)
        read = call(world, FRESH, "github", "get_commit", {"owner": "my-org", "repo": "Site", "sha": "a"})
        assert read.decision.effect is Effect.ALLOW
        facts = facts_after(FRESH, read)
        sent[visibility] = call(world, facts, "slack", "slack_send_message", {"channel_id": "C0123456789"})
    assert sent["public"].decision.effect is Effect.ALLOW
    assert sent["private"].decision.effect is Effect.DENY
    assert [ref.key for ref in sent["private"].decision.matched] == ["p3"]


def test_a_denied_call_has_touched_nothing() -> None:
    world = replace(world_with("private"), policies=())
    assert call(world, FRESH, "github", "search_code", {"query": "x"}).labels == frozenset()


def test_what_was_not_looked_up_is_not_decided() -> None:
    world = replace(world_with("public"), entities=EntityCache())
    judged = call(world, FRESH, "github", "get_commit", {"owner": "my-org", "repo": "site", "sha": "a"})
    assert judged.lacks == {EntityKey("github", "Repository", "my-org/site")}
    assert judged.decision.effect is Effect.DENY
