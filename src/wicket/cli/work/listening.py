"""The socket that a server listens on, bound before anything slow is loaded."""

import socket

from wicket.core.errors import Conflict
from wicket.settings import Settings


def listen(settings: Settings) -> socket.socket:
    """A bound socket; raises Conflict when the address or port is not to be had."""
    listener = None
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise Conflict(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; name another with --port",
            code="port_taken",
        ) from error
    listener.set_inheritable(True)
    return listener
