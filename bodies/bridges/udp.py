"""A datagram socket that never waits, and outlives receivers that come and go."""

from __future__ import annotations

import errno
import socket
from collections import Counter

from ...runtime.errors import ConfigError

WOULD_BLOCK = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS}


def parse_address(text: str, default_port: int, what: str) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port`` or ``[ipv6]:port``.

    Raises:
        ConfigError: if it is none of them.
    """
    host, port = text.strip(), str(default_port)
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif host.count(":") == 1:
        host, port = host.split(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{what}: expected HOST or HOST:PORT with a port of 1 to 65535, got {text!r}")
    return host, int(port)


class UdpSender:
    """Sends datagrams to one receiver.

    Args:
        address: ``host:port``; resolved once.
        default_port: where ``address`` names none.
        what: name of the setting, for errors.

    Attributes:
        counts: what could not be sent, by kind.

    Raises:
        ConfigError: if the address is malformed or the host is not known.
    """

    def __init__(self, address: str, default_port: int, what: str) -> None:
        host, port = parse_address(address, default_port, what)
        self.counts: Counter[str] = Counter()
        self._what = what
        try:
            family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"{what}: the host {host!r} is not known ({error}): check the name, or give its IP "
                              "address") from error  # fmt: skip
        self._socket.setblocking(False)
        try:
            self._socket.connect(target)  # of UDP: remembers the address, and lets the kernel report its absence
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"{what}: {host}:{port} cannot be reached ({error})") from error
        self.line = f"{host}:{port}"

    def send(self, data: bytes) -> bool:
        """Send, or count why not; never waits."""
        for attempt in (1, 2):
            try:
                self._socket.send(data)
                return True
            except ConnectionRefusedError:  # of an earlier datagram: nobody listens, or nobody did; this one is unsent
                if attempt == 1:
                    self.counts[f"{self._what}: nobody listens"] += 1
            except OSError as error:
                full = error.errno in WOULD_BLOCK
                self.counts[f"{self._what}: {'the network is slow' if full else 'the network is gone'}"] += 1
                return False
        return False

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()
