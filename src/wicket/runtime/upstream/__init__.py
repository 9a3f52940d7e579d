"""MCP to upstream servers over a wire: eras, sessions, ids, streaming. Knows no HTTP library."""

from wicket.runtime.upstream.reply import UpstreamReply
from wicket.runtime.upstream.upstream import Upstream
from wicket.runtime.upstream.values import (
    Answer,
    Ask,
    Credential,
    CredentialRejected,
    Declared,
    Exchange,
    Outgoing,
    Target,
    UpstreamLimits,
)

__all__ = [
    "Answer",
    "Ask",
    "Credential",
    "CredentialRejected",
    "Declared",
    "Exchange",
    "Outgoing",
    "Target",
    "Upstream",
    "UpstreamLimits",
    "UpstreamReply",
]
