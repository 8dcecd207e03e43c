"""Who may talk to the page's server: pages of its own, by an address that no stranger's name server can point here."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

_HOST = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$")


def host_of(header: str) -> str | None:
    """The name or address in a Host header, lower case and without brackets; None if it is malformed."""
    match = _HOST.match(header)
    return match[1].strip("[]").rstrip(".").lower() if match else None


def known_hosts(bound: str) -> set[str]:
    """Names by which this server may be called, besides addresses."""
    names = {"localhost"}
    if not is_loopback(bound):
        own = socket.gethostname().lower()
        names |= {bound.lower(), own, own.partition(".")[0], f"{own.partition('.')[0]}.local"}
    return names


def is_address(host: str) -> bool:
    """Whether it is an IP address: those cannot be re-bound by a name server."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_host(header: str, names: set[str], bound: str) -> bool:
    """Whether a request's Host header names this server (against DNS rebinding)."""
    host = host_of(header)
    if host is None:
        return False
    if is_address(host):
        return is_loopback(host) or not is_loopback(bound)
    return host in names


def same_origin(origin: str | None, host: str) -> bool:
    """Whether a WebSocket is asked for by our own page, or by a program that is no browser (which sends no Origin)."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
