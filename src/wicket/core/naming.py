"""Tool names towards clients: `service__tool`, at most 64 characters.

A name that is too long is cut and ends in a hash of the whole, so that it is the same on every list, in every
process. The way back is a search among the names that the service is known to have.
"""

from collections.abc import Iterable
from hashlib import sha256

SEPARATOR = "__"
EXPOSED_NAME_MAX = 64
_HASH_LENGTH = 8


def exposed_name(service: str | None, tool: str) -> str:
    """What a client sees: prefixed behind the aggregator (`service` given), as it is behind one connector."""
    whole = tool if service is None else f"{service}{SEPARATOR}{tool}"
    if len(whole) <= EXPOSED_NAME_MAX:
        return whole
    digest = sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{whole[: EXPOSED_NAME_MAX - _HASH_LENGTH - 1]}-{digest}"


def split_name(exposed: str) -> tuple[str, str] | None:
    """(service, rest) of a prefixed name, or None when it has no prefix or nothing behind it."""
    service, separator, rest = exposed.partition(SEPARATOR)
    return (service, rest) if service and separator and rest else None


def find_shortened(exposed: str, service: str | None, tools: Iterable[str]) -> str | None:
    """The tool whose shortened name this is, or None."""
    if len(exposed) != EXPOSED_NAME_MAX:
        return None
    return next((tool for tool in tools if exposed_name(service, tool) == exposed), None)
