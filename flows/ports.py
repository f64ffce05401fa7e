"""Whether a port of this machine is free, and who has it if not."""

import errno
import socket
from contextlib import suppress

import psutil

from flows.errors import ServiceError


def require_free(host: str, port: int, title: str, option: str) -> None:
    """Check that a service can listen at a port.

    Raises:
        ServiceError: It is taken, or not for everybody.
    """
    try:
        with socket.socket() as trial:
            # a port that was just left counts as free, as it does for the servers
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        found = f"taken by {holder_of(port)}" if taken else "not to be had"
        raise ServiceError(
            f"port {port} is {found}",
            f"a free one for {title}",
            f"End that process, or give another port with `reid up {option} NUMBER`.",
        ) from None


def holder_of(port: int) -> str:
    """Name the process that listens at a port, as far as this user may know it."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr.port == port and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command[:100]})"
    return "a process of another user"
