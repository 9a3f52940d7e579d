"""What the upstream side takes and gives."""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, TypeVar

from wicket.core.errors import Invalid, UpstreamFailed
from wicket.core.jsonrpc import Era, MessageFromUpstream, PostedResponse, Request
from wicket.core.model import Connector, JsonObject
from wicket.runtime.wire import NO_LINES, BeforeFirstByte, HeaderLines, header_lines

M = TypeVar("M")
Take: TypeAlias = Callable[[Iterator[M]], bool]
"""Takes of what is at hand; True where that is enough for now, and whoever waits is to go on."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VISIBLE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OURS: Final = frozenset(
    (
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type"),
        *("cookie", "expect", "host", "last-event-id", "te", "trailer", "transfer-encoding", "upgrade"),
        "user-agent",
    )
)


@dataclass(frozen=True, slots=True)
class Credential:
    """A header that authenticates a member to an upstream, opened for one call."""

    header: str
    value: str = field(repr=False)
    lines: HeaderLines = field(init=False, repr=False, compare=False)
    """As it is sent."""

    def __post_init__(self) -> None:
        name = self.header.lower()
        if not _TOKEN.fullmatch(self.header) or name in _OURS or name.startswith("mcp-"):
            raise Invalid("the credential's header cannot be sent: name another header", field="auth.header")
        if not _VISIBLE.fullmatch(self.value):
            raise Invalid(
                "the credential must be one line of printable ASCII: enter it again", field="auth.value"
            )
        object.__setattr__(self, "lines", header_lines({self.header: self.value}))


@dataclass(frozen=True, slots=True)
class Declared:
    """One legacy client's own session with an upstream, in which the upstream may ask what the client can answer."""

    session: str
    capabilities: JsonObject


@dataclass(frozen=True, slots=True)
class Target:
    """Whose call goes where."""

    connector: Connector
    credential: Credential | None
    owner: str
    """What lists and sessions are kept by: never the same for two credentials (member and version of the
    connection)."""
    declared: Declared | None = None
    """None: the session that all of the owner's requests share."""


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Bounds of the upstream side, each with its unit."""

    timeout_s: float = 30.0
    """Silence before a call is given up; a connector may have its own."""
    exchange_s_max: float = 3_600.0
    """For one call with everything it streams, however busy."""
    body_s_max: float = 300.0
    """For an answer that is not a stream."""
    body_bytes_max: int = 16 * 1024 * 1024
    event_bytes_max: int = 16 * 1024 * 1024
    stream_bytes_max: int = 256 * 1024 * 1024
    asking_timeout_s: float = 300.0
    """Silence of a call in which the upstream may wait for a person's answer."""
    standing_timeout_s: float = 3_600.0
    """Silence of a stream that is there for what may happen."""
    standing_max: int = 50
    """Such streams to one host, of the connections that it has."""
    list_timeout_s: float = 5.0
    list_ttl_s: float = 60.0
    list_retry_s: float = 5.0
    """A list that failed is not asked for again before."""
    list_pages_max: int = 50
    tools_max: int = 2_000
    lists_bytes_max: int = 64 * 1024 * 1024
    """Of all cached lists of this process together."""
    lists_max: int = 10_000
    sessions_max: int = 10_000
    notes_max: int = 1_000
    """Things under way that nobody waits for."""
    drain_s: float = 1.0
    """For a stream to end after its answer, so that its connection can be used again."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request towards an upstream, before it gets an id."""

    method: str
    params: JsonObject
    timeout_s: float
    """Of silence."""
    within_s: float | None = None
    """For all that comes back, however busy it is; None: as `timeout_s`."""
    meta: JsonObject = field(default_factory=dict)
    """What of the caller's `_meta` may be passed on."""
    capabilities: JsonObject = field(default_factory=dict)
    """What is declared to a modern upstream for this request."""
    wants_progress: bool = False
    before_first_byte: BeforeFirstByte | None = None
    param_lines: HeaderLines = NO_LINES
    """The arguments that a modern upstream wants mirrored."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request: `result`, or else `error`, as it came."""

    result: JsonObject | None = None
    error: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of the upstream that the client is to answer."""

    method: str
    params: JsonObject
    answer: Callable[[PostedResponse], Awaitable[None]]
    """Send the client's response; raises UpstreamFailed."""


class Exchange(Protocol):
    """A request under way: over HTTP or to a local server."""

    @property
    def request_id(self) -> int: ...

    @property
    def status(self) -> int: ...

    @property
    def era(self) -> Era: ...

    async def pass_on(self, take: Take[MessageFromUpstream]) -> None:
        """Have the messages about this request taken, as they come, until `take` answers True.

        It is called from the event loop, too: a stream goes by without waking the task that waits. What it leaves is
        there the next time. Raises UpstreamFailed, also where no more can come, and what `take` raises.
        """

    def refuse(self, request: Request) -> None:
        """Tell the upstream that its own request is not served."""

    async def respond(self, request: Request, response: PostedResponse) -> None:
        """Answer a request of the upstream's own; raises UpstreamFailed."""

    def end(self, *, is_answered: bool) -> None:
        """Let go; cancels the request at the upstream where its answer has not come."""


class LocalServers(Protocol):
    """Upstreams that are processes on this machine."""

    async def start(self, key: str) -> None:
        """Come back once the server runs, for which it has longer than for an answer; raises UpstreamFailed."""

    async def open(self, key: str, outgoing: Outgoing) -> Exchange:
        """Send at most once; raises UpstreamFailed, and what `before_first_byte` raises."""

    def on_list_changed(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the key of a server that says its tools have changed."""


class CredentialRejected(UpstreamFailed):
    """The upstream refused the credential (HTTP 401)."""

    code = "upstream_broken"


def credential_rejected(service: str) -> CredentialRejected:
    """The member's token is no good (any more)."""
    sentence = f"`{service}` refused the stored credential: connect the service again"
    return CredentialRejected(sentence, service=service, upstream_status=401)
