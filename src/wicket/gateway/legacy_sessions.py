"""What this process remembers of legacy MCP sessions: what the client can do, and what it is being asked.

A session's value is signed and good on every replica; this memory is not. It is what relays need: an upstream's
question and the client's answer come in two requests, which must meet. Where it is missing (another worker began
the session, or the process was started anew) nothing is relayed, and everything else works.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from wicket.core.jsonrpc import Notification, PostedResponse, RequestId, render_request
from wicket.core.model import JsonObject
from wicket.gateway.rounds import ASKED_BY, declared
from wicket.runtime.upstream import Ask, Declared

SESSIONS_MAX: Final = 10_000
ASKED_MAX: Final = 100
"""Questions that one client may leave open."""
LOGGED: Final = "notifications/message"
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


@dataclass(slots=True)
class LegacySession:
    """One client's session."""

    id: str
    service: str | None
    capabilities: JsonObject
    """Of the client, as far as upstreams are told."""
    level: str | None = None
    """Below which it wants no log messages."""
    _asked: dict[RequestId, Ask] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def declared(self) -> Declared | None:
        """What its own session with the upstream begins with; None behind the aggregator, which has none."""
        return None if self.service is None else Declared(self.id, self.capabilities)

    @property
    def asks(self) -> frozenset[str]:
        """What its client answers in the middle of a call; nothing behind the aggregator."""
        able = self.capabilities if self.service is not None else {}
        return frozenset(method for method, capability in ASKED_BY.items() if capability in able)

    def ask(self, ask: Ask) -> tuple[RequestId, bytes] | None:
        """Note a question: its id here, and the request for the client. None where too many are open."""
        if len(self._asked) >= ASKED_MAX:
            return None
        asked_id = next(self._ids)
        self._asked[asked_id] = ask
        return asked_id, render_request(asked_id, ask.method, ask.params)

    async def answered(self, response: PostedResponse) -> None:
        """Pass an answer on to who asked; one to nothing is dropped."""
        ask = None if response.id is None else self._asked.pop(response.id, None)
        if ask is not None:
            await ask.answer(response)

    def forget(self, asked_id: RequestId) -> None:
        """Nobody waits for this answer any more."""
        self._asked.pop(asked_id, None)

    def passes(self, notice: Notification) -> bool:
        """Whether a notification on the way to an answer is for the client."""
        return notice.method != LOGGED or self.wants(notice.params.get("level"))

    def wants(self, level: object) -> bool:
        """Whether a log message of this level is to be passed on; what is not known is."""
        if self.level is None or level not in LEVELS:
            return True
        return LEVELS.index(str(level)) >= LEVELS.index(self.level)


class LegacySessions:
    """What was used longest ago is forgotten first."""

    def __init__(self, *, is_alone: bool) -> None:
        """`is_alone`: no other worker may get a session's next request; where one may, nothing is remembered."""
        self._is_alone = is_alone
        self._sessions: OrderedDict[str, LegacySession] = OrderedDict()

    def open(self, session_id: str, service: str | None, capabilities: JsonObject) -> LegacySession | None:
        """A session that begins."""
        if not self._is_alone:
            return None
        session = LegacySession(session_id, service, declared(capabilities))
        self._sessions[session_id] = session
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session

    def find(self, session_id: str | None, service: str | None) -> LegacySession | None:
        """The session, where this process remembers it and it was begun at the same address."""
        session = None if session_id is None else self._sessions.get(session_id)
        if session is None or session.service != service:
            return None
        self._sessions.move_to_end(session.id)
        return session

    def end(self, session_id: str) -> None:
        """Forget it."""
        self._sessions.pop(session_id, None)
