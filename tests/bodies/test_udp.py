"""Addresses, and a socket that never waits."""

from __future__ import annotations

import errno
import socket
import time

import pytest

from media2face.bodies.bridges.udp import UdpSender, parse_address
from media2face.runtime.errors import ConfigError


@pytest.mark.parametrize(
    "text, expected",
    [
        ("host", ("host", 7)), ("host:8", ("host", 8)), (" 10.0.0.1:65535 ", ("10.0.0.1", 65535)),
        ("[::1]", ("::1", 7)), ("[::1]:9", ("::1", 9)), ("fe80::1", ("fe80::1", 7)),
    ],
)  # fmt: skip
def test_addresses(text, expected):
    assert parse_address(text, 7, "vmc") == expected


@pytest.mark.parametrize("text", ["", ":8", "host:", "host:0", "host:65536", "host:-1", "host:1x", "[]:8"])
def test_addresses_that_are_none(text):
    with pytest.raises(ConfigError, match="vmc"):
        parse_address(text, 7, "vmc")


def test_over_ipv6():
    try:
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        receiver.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with receiver:
        receiver.settimeout(2.0)
        sender = UdpSender(f"[::1]:{receiver.getsockname()[1]}", 7, "vmc")
        assert sender.send(b"hello") and receiver.recv(16) == b"hello"
        sender.close()


def test_a_receiver_that_does_not_read_costs_no_time():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        sender = UdpSender(f"127.0.0.1:{deaf.getsockname()[1]}", 7, "vmc")
        began = time.process_time()
        for _ in range(500):
            sender.send(b"x" * 1400)
        assert time.process_time() - began < 0.5
        sender.close()


class Full:
    """A socket whose way is blocked."""

    def __init__(self, number: int) -> None:
        self.number = number

    def send(self, data: bytes) -> int:
        raise OSError(self.number, "blocked")


@pytest.mark.parametrize("number, kind", [(errno.EAGAIN, "slow"), (errno.ENOBUFS, "slow"), (errno.ENETUNREACH, "gone")])
def test_a_network_that_is_slow_or_gone_is_counted(number, kind):
    sender = UdpSender("127.0.0.1:9", 7, "vmc")
    sender.close()
    sender._socket = Full(number)
    assert not sender.send(b"x")
    assert dict(sender.counts) == {f"vmc: the network is {kind}": 1}
