"""From a request to an attempt: which tool it means, what of it is recorded, and how it is judged.

`judge` is pure: it says, for any world and any facts of the session, what is decided. The recorder calls it
before its transaction and, when rules or facts have moved, again inside it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final

from wicket.connectors.knowledge import EntitiesNeeded
from wicket.connectors.resolve import labels_of, resolve
from wicket.core.ids import RANDOM_BYTES_MIN, uuid7
from wicket.core.jsonrpc import Request
from wicket.core.model import Connector, Decision, JsonObject, Reason
from wicket.core.policy import engine
from wicket.core.redaction import Redactor
from wicket.core.session import Facts
from wicket.core.steps import Steps
from wicket.core.world import MemberKey, World
from wicket.gateway.client_sessions import ClientSession
from wicket.gateway.http import Inbound
from wicket.gateway.targets import CallTarget
from wicket.runtime.recorder import Attempt, Judged
from wicket.store.instants import to_us

NONE: Final[frozenset[str]] = frozenset()


class Attempts:
    """Builds attempts."""

    def __init__(
        self,
        *,
        redactor: Redactor,
        connectors: Mapping[str, Connector],
        now: Callable[[], datetime],
        random: Callable[[int], bytes],
    ) -> None:
        """`connectors` are those that everybody may know of: the catalog's, and the host's own."""
        self._redactor = redactor
        self._connectors = connectors
        self._now = now
        self._random = random

    def is_known(self, service: str, world: World) -> bool:
        """Whether the agent's people may know of a service, enabled or not."""
        return service in self._connectors or service in world.services

    def build(
        self,
        inbound: Inbound,
        request: Request,
        target: CallTarget,
        key: MemberKey,
        session: ClientSession,
        world: World,
        redacted: JsonObject | None = None,
    ) -> Attempt:
        """The attempt that the recorder commits, dated now; `redacted` are its arguments, where they are it already."""
        now = self._now()
        now_us = to_us(now)
        tool = target.tool(world)
        if redacted is None:
            # Secrets are hidden by the catalog's word, whatever this world has enabled: it may be an old one.
            connector = self._connectors.get(target.service)
            keep, hide = _told(connector, tool) if connector is not None else (NONE, NONE)
            redacted = self._redactor.redact(target.arguments, keep=keep, hide=hide)
        return Attempt(
            entry_id=uuid7(now_us, self._random(RANDOM_BYTES_MIN)),
            agent_id=world.agent_id,
            member_id=key.member_id,
            key_id=key.id,
            slot=session.slot,
            external_session_id=session.external_id,
            service=target.service,
            tool=tool,
            caller_ip=inbound.caller_ip,
            client_name=request.client_name,
            client_version=request.client_version,
            protocol_version=request.version or "",
            request_bytes=len(inbound.body),
            decided_us=now_us,
            redacted_args=redacted,
            method=target.method,
            judge=partial(judge, target=target, key=key, caller_ip=inbound.caller_ip, now=now),
        )

    def redact_in_steps(self, target: CallTarget, world: World) -> Steps[JsonObject]:
        """What `build` is given of a long message."""
        connector = self._connectors.get(target.service)
        keep, hide = _told(connector, target.tool(world)) if connector is not None else (NONE, NONE)
        return self._redactor.redact_in_steps(target.arguments, keep=keep, hide=hide)


def _told(connector: Connector, tool: str) -> tuple[frozenset[str], frozenset[str]]:
    """The arguments of a tool that name resources, and those that hold secrets."""
    facts = connector.tools.get(tool)
    return (NONE, NONE) if facts is None else (frozenset(facts.resource_args), frozenset(facts.secret_args))


def judge(
    world: World, facts: Facts, *, target: CallTarget, key: MemberKey, caller_ip: str, now: datetime
) -> Judged:
    """What is decided for a call in this world, with these facts of its session."""
    present = world.present(key)
    if present is None:
        return Judged(Decision(reason=Reason.KEY_REVOKED), counts=False)
    if (reason := world.refusal(present)) is not None:
        return Judged(Decision(reason=reason), counts=False)
    if target.refused is not None:
        return Judged(Decision(reason=target.reason, detail=target.refused.sentence), counts=False)
    member = world.members[present.member_id]
    tool = target.tool(world)
    try:
        resolved = resolve(
            world, member, target.service, tool, target.arguments, caller_ip=caller_ip, method=target.method
        )
    except EntitiesNeeded as needed:
        return Judged(Decision(), lacks=needed.keys)
    if isinstance(resolved, Decision):
        return Judged(resolved)
    judged = engine.decide(world, resolved, facts, now)
    labels = labels_of(resolved) if judged.decision.allowed else NONE
    return Judged(
        judged.decision, call=resolved, reads_facts=judged.reads_facts, labels=labels, told=judged.told
    )
