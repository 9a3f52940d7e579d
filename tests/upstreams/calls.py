"""Recorded calls and targets for tests that start behind the recorder."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeAlias

from wicket.core.jsonrpc import Notification
from wicket.core.model import (
    AgentStatus,
    Call,
    Connector,
    ConnectorKind,
    Decision,
    Effect,
    JsonObject,
    Reason,
    Tier,
    TrustMode,
)
from wicket.core.session import Facts
from wicket.core.world import AgentSettings, World
from wicket.runtime.recorder.recorded import _MINT, Recorded
from wicket.runtime.recorder.values import Attempt, Judged
from wicket.runtime.upstream import Answer, Ask, Credential, Target, Upstream, UpstreamLimits, UpstreamReply
from wicket.runtime.wire import AddressPolicy, HttpWire, WireLimits
from wicket.store.instants import to_us

Said: TypeAlias = Notification | Ask | Answer
SERVICE = "fake"
ALICE = "of-alice"
LOOPBACK = AddressPolicy(allow_private=True)


def recorded_call(
    arguments: JsonObject | None = None, *, tool: str = "echo", service: str = SERVICE, allowed: bool = True
) -> Recorded:
    """As the recorder gives it out."""
    call = Call(
        method="tools/call",
        service=service,
        namespace="Custom_fakeMCP",
        tool=tool,
        tier=Tier.READ,
        arguments=arguments or {},
        user_id="user",
        member_id="member",
        caller_ip="127.0.0.1",
    )
    decision = Decision(Effect.ALLOW, Reason.PERMITTED) if allowed else Decision()
    judged = Judged(decision, call)

    def judge(world: World, facts: Facts) -> Judged:
        return judged

    attempt = Attempt(
        entry_id="entry",
        agent_id="agent",
        member_id="member",
        key_id="key",
        slot="slot",
        external_session_id="",
        service=service,
        tool=tool,
        caller_ip="127.0.0.1",
        client_name="",
        client_version="",
        protocol_version="",
        request_bytes=0,
        decided_us=to_us(datetime.now(UTC)),
        redacted_args={},
        judge=judge,
    )
    world = World(
        agent_id="agent",
        agent_name="agent",
        revision=1,
        status=AgentStatus.ACTIVE,
        trust_mode=TrustMode.TRUSTED,
        settings=AgentSettings(),
        members={},
        keys={},
        services={},
        policies=(),
        pins={},
        connections={},
    )
    return Recorded(attempt, "entry", "ts_1", judged, world, 0, 0.0, 0.0, mint=_MINT)


def target_of(
    url: str, *, owner: str = "alice:1", token: str | None = ALICE, timeout_s: float | None = None
) -> Target:
    """An upstream as one member sees it."""
    connector = Connector(
        key=SERVICE,
        name="Fake",
        namespace="Custom_fakeMCP",
        kind=ConnectorKind.CUSTOM,
        url=url,
        upstream_timeout_s=timeout_s,
    )
    credential = None if token is None else Credential("Authorization", f"Bearer {token}")
    return Target(connector, credential, owner)


async def told(reply: UpstreamReply) -> list[Said]:
    """All that a reply passes on, the answer last."""
    messages: list[Said] = []

    def take(at_hand: Iterator[Said]) -> bool:
        messages.extend(at_hand)
        return False

    await reply.pass_on(take)
    return messages


async def answer_of(reply: UpstreamReply) -> Answer:
    """The last that it passes on."""
    last = (await told(reply))[-1]
    assert isinstance(last, Answer)
    return last


@asynccontextmanager
async def upstream_side(
    limits: UpstreamLimits | None = None, wire_limits: WireLimits | None = None
) -> AsyncIterator[Upstream]:
    """The part under test over a real wire."""
    wire = HttpWire(addresses=LOOPBACK, limits=wire_limits)
    upstream = Upstream(wire=wire, stdio=None, limits=limits or UpstreamLimits(), client_version="1.2.3")
    try:
        yield upstream
    finally:
        await upstream.stop()
        await wire.close()
