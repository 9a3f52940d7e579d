"""The proxy: a call comes in, is decided, recorded, and forwarded.

Read `Gateway._call` first; it is the whole product:

1. the key is known and the message understood, once (401, 400);
2. the key's bucket has a token left (429);
3. the call is decided, by a pure function of the agent's world and the session's facts, and recorded: durable,
   and taken under rules still in force, or it goes no further (403, denials, 503);
4. the member's credential is opened and the call forwarded; what comes back is streamed.

Nothing is forwarded without a `Recorded`, which the recorder alone can make, and every way out of `_call`
leaves exactly one entry.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, assert_never

from wicket.connectors.resolve import TOOLS_CALL
from wicket.core.errors import Refused, Unavailable
from wicket.core.jsonrpc import (
    SHORT_BYTES,
    Era,
    Message,
    MessageRefused,
    Notification,
    PostedResponse,
    Request,
    parse_message,
    parse_message_in_steps,
)
from wicket.core.keys import ServerKeys, is_key
from wicket.core.model import Reason
from wicket.core.world import Member, MemberKey, World
from wicket.gateway import answers, counts
from wicket.gateway.attempts import Attempts
from wicket.gateway.client_sessions import MCP_SESSION_HEADER, ClientSession, McpSessions, client_of, identify
from wicket.gateway.exchange import Exchange, Passage
from wicket.gateway.flights import FlightId, Flights
from wicket.gateway.http import (
    STREAM_HEADERS,
    Inbound,
    Outbound,
    Parts,
    accepts_stream,
    as_stream,
    find_bearer,
    prefers_stream,
)
from wicket.gateway.legacy_sessions import LegacySession, LegacySessions
from wicket.gateway.listening import Listening, wanted_addresses
from wicket.gateway.listing import Listing
from wicket.gateway.others import Others
from wicket.gateway.rounds import Rounds
from wicket.gateway.targets import SUBSCRIBE, CallTarget, check_headers, is_decided, parse_target
from wicket.runtime.key_uses import KeyUses
from wicket.runtime.limiter import Limiter
from wicket.runtime.recorder import Recorded, Recorder
from wicket.runtime.snapshot import Snapshot
from wicket.runtime.turns import Turns
from wicket.runtime.upstream.standing import LISTEN

STRANGERS_BODY_BYTES_MAX: Final = 64 * 1024
"""Of a body that is parsed for a stranger, only to echo its id: parsing costs time that is not theirs."""
ACCEPTED: Final = Outbound(202, ())
NOT_ALLOWED: Final = Outbound(405, (("allow", "POST"),))


class Caller(NamedTuple):
    """Whose request it is, in the world that was at hand."""

    world: World
    key: MemberKey
    member: Member
    bearer: str
    session: ClientSession
    is_session_ours: bool
    """False: the request names an `Mcp-Session-Id` that was not handed out to this key, or has ended."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The instance's rate limit of a key; an agent may have its own."""

    burst: int
    per_second: float


class Gateway:
    """Answers what comes in at `/mcp` and `/mcp/{service}`."""

    def __init__(
        self,
        *,
        keys: ServerKeys,
        snapshot: Snapshot,
        limiter: Limiter,
        recorder: Recorder,
        attempts: Attempts,
        exchange: Exchange,
        listing: Listing,
        others: Others,
        listening: Listening,
        rounds: Rounds,
        legacy: LegacySessions,
        flights: Flights,
        mcp_sessions: McpSessions,
        key_uses: KeyUses,
        bucket: Bucket,
        turns: Turns,
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._keys = keys
        self._snapshot = snapshot
        self._limiter = limiter
        self._recorder = recorder
        self._attempts = attempts
        self._exchange = exchange
        self._listing = listing
        self._others = others
        self._listening = listening
        self._rounds = rounds
        self._legacy = legacy
        self._flights = flights
        self._mcp_sessions = mcp_sessions
        self._key_uses = key_uses
        self._bucket = bucket
        self._turns = turns
        self._monotonic_ns = monotonic_ns

    async def answer(self, inbound: Inbound) -> Outbound:
        """Answer one HTTP request. Every refusal is an answer; nothing is raised but defects."""
        request_id: str | int | None = None
        try:
            if inbound.method != "POST":
                return await self._without_body(inbound)
            bearer = find_bearer(inbound)
            found = await self._find(bearer)
            if found is None:
                counts.count_unentered(counts.UNKNOWN_KEY)
            if found is None and len(inbound.body) > STRANGERS_BODY_BYTES_MAX:
                raise answers.unauthenticated(bearer)
            is_short = len(inbound.body) <= SHORT_BYTES
            message = parse_message(inbound.body, inbound.headers) if is_short else await self._long(inbound)
            request_id = message.id if isinstance(message, Request) else None
            if bearer is None or found is None:
                raise answers.unauthenticated(bearer)
            caller = self._caller(inbound, message, bearer, found)
            match message:
                case Request() if is_decided(message, inbound.service):
                    return await self._call(inbound, caller, message)
                case Request():
                    counts.count_unentered(message.method)
                    outbound = await self._other(inbound, caller, message)
                    return as_stream(outbound) if prefers_stream(inbound) else outbound
                case Notification():
                    counts.count_unentered(counts.NOTIFICATION)
                    return await self._notified(caller, message)
                case PostedResponse():
                    counts.count_unentered(counts.RESPONSE)
                    return await self._responded(inbound, caller, message)
                case _:
                    assert_never(message)
        except MessageRefused as refused:
            counts.count_unentered(counts.MALFORMED)
            return answers.refusal(refused, refused.request_id)
        except Refused as refused:
            return answers.refusal(refused, request_id)
        except Unavailable as failed:
            return answers.refusal(answers.unavailable(failed), request_id)

    async def _long(self, inbound: Inbound) -> Message:
        return await self._turns.take(
            parse_message_in_steps(inbound.body, inbound.headers), len(inbound.body)
        )

    async def try_call(self, inbound: Inbound, caller: Caller, request: Request) -> tuple[Recorded, Outbound]:
        """As `_call`, for who came in by another door and wants to see the record; raises Refused."""
        target = self._target(inbound, caller, request)
        recorded = await self._recorded(inbound, caller, request, target)
        if not recorded.allowed:
            return recorded, self._denied(request, target, recorded, caller)
        return recorded, await self._forward(inbound, caller, request, target, recorded)

    def drain(self) -> None:
        """End the streams that only wait; calls go on to their ends."""
        self._listening.end()

    async def _call(self, inbound: Inbound, caller: Caller, request: Request) -> Outbound:
        """One call, or another request that is decided like one, from the caller to the forwarded answer."""
        target = self._target(inbound, caller, request)
        recorded = await self._recorded(inbound, caller, request, target)
        if not recorded.allowed:
            return self._denied(request, target, recorded, caller)
        return await self._forward(inbound, caller, request, target, recorded)

    async def _recorded(
        self, inbound: Inbound, caller: Caller, request: Request, target: CallTarget
    ) -> Recorded:
        """The decision, durable; raises Refused (429) where the key's bucket is empty."""
        wait_s = self._seconds_to_wait(caller)
        if wait_s is not None:
            caller, wait_s = await self._limited(caller, wait_s)
        request = _introduced(inbound, caller, request)
        redacted = None
        if len(inbound.body) > SHORT_BYTES:
            steps = self._attempts.redact_in_steps(target, caller.world)
            redacted = await self._turns.take(steps, len(inbound.body))
        key, session, world = caller.key, caller.session, caller.world
        attempt = self._attempts.build(inbound, request, target, key, session, world, redacted)
        if wait_s is not None:
            entry_id = await self._recorder.refuse(attempt, caller.world, Reason.RATE_LIMITED)
            raise answers.rate_limited(wait_s, entry_id)
        return await self._recorder.commit(attempt, caller.world)

    def _target(self, inbound: Inbound, caller: Caller, request: Request) -> CallTarget:
        """What the call means; with everything that makes it malformed, which its entry will say."""
        target = parse_target(request, inbound.service)
        if not caller.is_session_ours:
            return replace(target, refused=answers.unknown_session(), reason=Reason.UNKNOWN_SESSION)
        if request.era is Era.LEGACY or target.refused is not None:
            return target
        if target.method == TOOLS_CALL:
            tool = target.tool(caller.world)
            mirrored = self._listing.mirrored(caller.world, caller.key, target.service, tool)
            target = check_headers(target, mirrored, inbound.headers)
        return self._rounds.opened(target, request, caller.member.id, caller.world)

    def _denied(self, request: Request, target: CallTarget, recorded: Recorded, caller: Caller) -> Outbound:
        reason, world = recorded.decision.reason, recorded.world
        if reason in answers.NOT_ADMITTED:
            raise answers.not_admitted(reason, world, recorded.entry_id)
        if target.refused is not None:
            raise answers.malformed(target.refused, reason, recorded.entry_id)
        if reason is Reason.SERVICE_NOT_ENABLED and not self._attempts.is_known(target.service, world):
            raise answers.unknown_service(target.service, recorded.entry_id)
        return answers.denied(
            answers.Denial(
                world=world,
                member=world.members.get(caller.member.id, caller.member),
                request=request,
                service=target.service,
                tool=target.tool(world),
                decision=recorded.decision,
                entry_id=recorded.entry_id,
            )
        )

    async def _forward(
        self, inbound: Inbound, caller: Caller, request: Request, target: CallTarget, recorded: Recorded
    ) -> Outbound:
        """Whole when the upstream answers at once, as a stream when it streams and the client reads one."""
        flight = self._flights.open(recorded.world, caller.key, caller.session.slot, request.id)
        session, is_stream_read = self._session(inbound), accepts_stream(inbound)
        passage = Passage(request, caller.bearer, target.inputs, session, is_stream_read=is_stream_read)
        replies = self._exchange.replies(passage, recorded, flight)
        await replies.advance()
        if replies.streams and is_stream_read:
            return Outbound(200, STREAM_HEADERS, replies)
        final = replies.final or await replies.last()
        outbound = Outbound(final.status, body=final.body)
        return as_stream(outbound) if prefers_stream(inbound) else outbound

    async def _other(self, inbound: Inbound, caller: Caller, request: Request) -> Outbound:
        """Methods that decide nothing: they never pass the commit, so they read the present world first."""
        world = await self._admitted(caller)
        if inbound.service is not None and inbound.service not in world.services:
            if self._attempts.is_known(inbound.service, world):
                raise answers.not_enabled(inbound.service, world)
            raise answers.unknown_service(inbound.service)
        if request.method == LISTEN and request.era is Era.MODERN:
            return await self._listen(inbound, caller._replace(world=world), request, inbound.service)
        session = self._session(inbound)
        return await self._others.answer(request, world, caller.key, caller.bearer, inbound.service, session)

    async def _listen(
        self, inbound: Inbound, caller: Caller, request: Request, service: str | None
    ) -> Outbound:
        """A stream of what happens; each resource that it is about is decided and recorded by itself."""
        subscribed: list[Recorded] = []
        for address in wanted_addresses(request) if service is not None else ():
            target = CallTarget(service or "", SUBSCRIBE, {"uri": address}, method=SUBSCRIBE)
            recorded = await self._recorded(inbound, caller, request, target)
            if recorded.allowed:
                subscribed.append(recorded)
        flight = self._flights.open(caller.world, caller.key, caller.session.slot, request.id)
        told = self._listening.listen(request, flight, caller.world, caller.bearer, service, subscribed)
        return Outbound(200, STREAM_HEADERS, Parts(told, first=await anext(told)))

    async def _notified(self, caller: Caller, notification: Notification) -> Outbound:
        world = await self._admitted(caller)
        request_id = notification.params.get("requestId")
        if (
            notification.method == "notifications/cancelled"
            and isinstance(request_id, str | int)
            and not isinstance(request_id, bool)
        ):
            self._flights.cancel(FlightId(caller.key.id, caller.session.slot, request_id), world.agent_id)
        return ACCEPTED

    async def _responded(self, inbound: Inbound, caller: Caller, response: PostedResponse) -> Outbound:
        """A legacy client answers what it was asked, or believes to have been asked; a modern one never is."""
        await self._admitted(caller)
        if response.era is Era.MODERN:
            raise answers.unasked_response()
        if (session := self._session(inbound)) is not None:
            await session.answered(response)
        return ACCEPTED

    def _session(self, inbound: Inbound) -> LegacySession | None:
        return self._legacy.find(inbound.header(MCP_SESSION_HEADER), inbound.service)

    async def _without_body(self, inbound: Inbound) -> Outbound:
        """GET and DELETE concern open legacy sessions only; anything else is 405."""
        session_id, bearer = inbound.header(MCP_SESSION_HEADER), find_bearer(inbound)
        if inbound.method not in {"GET", "DELETE"} or session_id is None:
            return NOT_ALLOWED
        found = await self._find(bearer)
        if bearer is None or found is None:
            return NOT_ALLOWED
        world, digest = found
        key = world.keys[digest]
        is_open = self._mcp_sessions.is_open(session_id, key.id)
        session = identify(inbound, {}, key.id, is_session_ours=is_open)
        caller = Caller(world, key, world.members[key.member_id], bearer, session, is_session_ours=True)
        world = await self._admitted(caller)
        if not is_open:
            return (
                NOT_ALLOWED if inbound.method == "GET" else answers.refusal(answers.unknown_session(), None)
            )
        own = self._session(inbound)
        if inbound.method == "DELETE":
            self._mcp_sessions.end(session_id)
            self._flights.cancel(FlightId(key.id, session.slot, session_id), world.agent_id)
            if own is not None:
                await self._others.end(own, world, key, bearer)
            return Outbound(204, ())
        flight = self._flights.open(world, key, session.slot, session_id)
        told = self._listening.attend(flight, world, bearer, own)
        return Outbound(200, STREAM_HEADERS, Parts(told, first=await anext(told)))

    async def _find(self, bearer: str | None) -> tuple[World, bytes] | None:
        return await self._snapshot.of(self._keys.digests(bearer)) if bearer and is_key(bearer) else None

    def _caller(
        self,
        inbound: Inbound,
        message: Request | Notification | PostedResponse,
        bearer: str,
        found: tuple[World, bytes],
    ) -> Caller:
        world, digest = found
        key = world.keys[digest]
        self._key_uses.note(world.agent_id, key)
        session_id = inbound.header(MCP_SESSION_HEADER)
        is_ours = session_id is None or self._mcp_sessions.is_open(session_id, key.id)
        meta = {} if isinstance(message, PostedResponse) else message.meta
        session = identify(inbound, meta, key.id, is_session_ours=is_ours)
        return Caller(world, key, world.members[key.member_id], bearer, session, is_ours)

    async def _admitted(self, caller: Caller) -> World:
        """The present world, when it still admits the caller; raises Refused (401, 403, 404)."""
        world = await self._snapshot.current(caller.world)
        key = None if world is None else world.keys.get(caller.key.digest)
        if world is None or key is None:
            raise answers.unknown_key()
        if (reason := world.refusal(key)) is not None:
            raise answers.not_admitted(reason, world)
        if not caller.is_session_ours:
            raise answers.unknown_session()
        return world

    async def _limited(self, caller: Caller, wait_s: int) -> tuple[Caller, int | None]:
        """Before a call is refused: look whether bucket and key are still what this world says."""
        world = await self._snapshot.current(caller.world)
        if world is None or world is caller.world or (key := world.present(caller.key)) is None:
            return caller, wait_s
        caller = caller._replace(world=world, key=key, member=world.members[key.member_id])
        return caller, self._seconds_to_wait(caller)

    def _seconds_to_wait(self, caller: Caller) -> int | None:
        """Take a token of the key's bucket: None, or the seconds until there is one."""
        if not caller.key.live:
            return None  # it is answered as an unknown key, which has no bucket
        own = caller.world.settings
        return self._limiter.take(
            caller.key.id,
            burst=self._bucket.burst if own.rate_burst is None else own.rate_burst,
            per_second=self._bucket.per_second if own.rate_per_second is None else own.rate_per_second,
            now_ns=self._monotonic_ns(),
        )


def _introduced(inbound: Inbound, caller: Caller, request: Request) -> Request:
    """With the client's name, which a legacy client says once: the value that it was handed out then keeps it."""
    session_id = inbound.header(MCP_SESSION_HEADER)
    if request.era is Era.MODERN or session_id is None or not caller.is_session_ours:
        return request
    name, version = client_of(session_id)
    return replace(request, client_name=name, client_version=version)
