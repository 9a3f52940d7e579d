"""One tree of errors.

    WicketError                 code, HTTP status, sentence, facts
    |- Refused                  the proxy will not do it: a JSON-RPC error with its HTTP status
    |- Invalid                  bad input: names the field and what to do
    |- Unauthenticated          nobody we know asks
    |- Forbidden                known, but not allowed to
    |- NotFound                 no such object, or none that the asker may know of
    |- Conflict                 the state of things forbids it: says which state
    |- Limited                  too many of them: says when to try again
    |- Unavailable              we cannot now; trying again may help
    `- UpstreamFailed           the upstream could not be used: unreachable, broken or silent

`code` is for machines and never changes; the sentence is for people: lower case, no full stop, input in
backticks, and what to do next. Facts are fields, never secrets.
"""

from enum import IntEnum

from wicket.core.model import Json, Reason


class RpcCode(IntEnum):
    """JSON-RPC error codes on the wire (JSON-RPC 2.0 section 5.1; MCP 2026-07-28, basic/versioning)."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    NOT_INSTALLED = -32001
    HEADER_MISMATCH = -32020
    MISSING_CLIENT_CAPABILITY = -32021
    UNSUPPORTED_VERSION = -32022


class WicketError(Exception):
    """Whatever Wicket itself answers as a failure."""

    code = "internal_error"
    status = 500

    def __init__(
        self, sentence: str, *, code: str | None = None, status: int | None = None, **facts: Json
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code or self.code
        self.status = status or self.status
        self.facts: dict[str, Json] = facts


class Refused(WicketError):
    """A JSON-RPC request that the proxy refuses: HTTP status, JSON-RPC code, sentence, and `error.data`."""

    code = "refused"
    status = 400

    def __init__(
        self,
        sentence: str,
        *,
        rpc_code: RpcCode,
        status: int = 400,
        reason: Reason | None = None,
        retry_after_s: int | None = None,
        **facts: Json,
    ) -> None:
        super().__init__(sentence, code=reason.value if reason else "refused", status=status)
        self.facts = facts
        self.rpc_code = rpc_code
        self.reason = reason
        self.retry_after_s = retry_after_s


class Invalid(WicketError):
    """Input that cannot be accepted; `field` is a dotted path (`time.hoursFrom`)."""

    code = "invalid"
    status = 400

    def __init__(self, sentence: str, *, field: str, code: str | None = None, **facts: Json) -> None:
        super().__init__(sentence, code=code)
        self.facts = {"field": field, **facts}
        self.field = field


class Unauthenticated(WicketError):
    code = "unauthenticated"
    status = 401


class Forbidden(WicketError):
    code = "forbidden"
    status = 403


class NotFound(WicketError):
    code = "not_found"
    status = 404


class Conflict(WicketError):
    code = "conflict"
    status = 409


class Limited(WicketError):
    """`retry_after_s` is also the answer's `Retry-After`."""

    code = "too_many_requests"
    status = 429

    def __init__(self, sentence: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(sentence, code=code, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class Unavailable(WicketError):
    code = "unavailable"
    status = 503


class UpstreamFailed(WicketError):
    """Status 502 (`upstream_unreachable`, `upstream_broken`) or 504 (`upstream_timeout`)."""

    code = "upstream_unreachable"
    status = 502
