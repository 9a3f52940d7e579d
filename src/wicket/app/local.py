"""What is there before anything is built: the clock, and the servers that the configuration file names."""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones

from wicket.connectors.services import custom_namespace
from wicket.core.model import Connector, ConnectorKind
from wicket.settings import Settings


def utc_now() -> datetime:
    """The instant now, aware."""
    return datetime.now(UTC)


@cache
def known_zones() -> frozenset[str]:
    """IANA names of the time zones that this machine knows."""
    return frozenset(available_timezones())


def local_connectors(settings: Settings) -> dict[str, Connector]:
    """The stdio servers that the configuration file names, as connectors."""
    return {
        key: Connector(
            key=key,
            name=server.name or key,
            namespace=custom_namespace(key),
            kind=ConnectorKind.STDIO,
            url=f"stdio:{key}",
            id=key,
        )
        for key, server in settings.stdio.items()
    }
