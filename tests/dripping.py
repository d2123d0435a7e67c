"""A client that sends a byte now and then, and never all of a request."""

import socket


def is_ended(client: socket.socket) -> bool:
    """Send one more byte: whether the server has ended the connection."""
    try:
        client.sendall(b"x")
    except OSError:
        return True
    return False
