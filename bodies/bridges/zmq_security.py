"""Who may talk over ZeroMQ: plain text on this machine only, CurveZMQ with known keys everywhere else.

A folder of keys, as :func:`make_keys` writes it::

    server.key          public key of the server; every client needs a copy
    server.key_secret   stays here, readable by its owner alone
    clients/NAME.key    public keys of the clients that are let in

Every client has a ``NAME.key_secret`` of its own, made on its own machine or moved there.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from ...runtime.errors import ConfigError

SERVER = "server"


@dataclass(frozen=True)
class ServerKeys:
    """What a server needs: its key pair (Z85) and the folder of its clients' public keys."""

    public: bytes
    secret: bytes
    clients: Path


def is_local(endpoint: str) -> bool:
    """Whether nobody outside this machine can reach an endpoint."""
    kind, _, rest = endpoint.partition("://")
    if kind in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_endpoint(endpoint: str, keys: ServerKeys | None, what: str) -> str:
    """The endpoint, if it may be served.

    Raises:
        ConfigError: if it is malformed, or reachable from elsewhere without keys.
    """
    found = re.fullmatch(r"tcp://[^\s/]+:(\d{1,5}|\*)|ipc://\S+", endpoint)
    if not found or (found[1] or "*") != "*" and not 0 < int(found[1]) < 65536:
        raise ConfigError(f"{what}: expected an endpoint such as tcp://127.0.0.1:5570 or ipc:///tmp/face, "
                          f"got {endpoint!r}")  # fmt: skip
    if keys is None and not is_local(endpoint):
        raise ConfigError(f"{what}: {endpoint} can be reached from other machines, so it needs keys: make them with "
                          "'media2face zmq-keys FOLDER --client NAME' and set zmq_keys, or use tcp://127.0.0.1:PORT"
                          )  # fmt: skip
    return endpoint


def load_server_keys(folder: str | Path) -> ServerKeys:
    """The keys of a server.

    Raises:
        ConfigError: if files are missing or damaged, no client is let in, or others may read the secret.
    """
    folder = Path(folder).expanduser()
    secret_file, clients = folder / f"{SERVER}.key_secret", folder / "clients"
    try:
        mode = secret_file.stat().st_mode
        public, secret = zmq.auth.load_certificate(secret_file)
        known = [zmq.auth.load_certificate(path)[0] for path in sorted(clients.glob("*.key"))]
    except (OSError, ValueError) as error:
        raise ConfigError(f"zmq_keys: no keys of a server in {folder} ({error}): make them with "
                          f"'media2face zmq-keys {folder} --client NAME'") from error  # fmt: skip
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"zmq_keys: others may read {secret_file}: 'chmod 600' it, or make new keys")
    if not known:
        raise ConfigError(
            f"zmq_keys: {clients} holds no client's public key, so nobody could connect: put NAME.key there"
        )
    if any(len(key or b"") != 40 for key in (public, secret, *known)):
        raise ConfigError(f"zmq_keys: a key in {folder} does not have 40 characters: make new ones")
    return ServerKeys(public, secret, clients)


def make_keys(folder: str | Path, clients: list[str]) -> list[Path]:
    """Make a server's keys (kept where they exist) and those of clients; returns the files written.

    Raises:
        ConfigError: if a client's name cannot be a file name, or its keys exist.
    """
    folder = Path(folder).expanduser()
    for name in clients:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name) or name == SERVER:
            raise ConfigError(f"expected a client's name of letters, digits, '-' and '_', got {name!r}")
        if (folder / "clients" / f"{name}.key").exists() or (folder / f"{name}.key_secret").exists():
            raise ConfigError(f"{folder} holds keys of {name!r} already: remove them first, or choose another name")
    before = os.umask(0o077)
    try:
        (folder / "clients").mkdir(parents=True, exist_ok=True)
        written = []
        if not (folder / f"{SERVER}.key_secret").exists():
            written += [Path(path) for path in zmq.auth.create_certificates(folder, SERVER)]
        for name in clients:
            public, secret = map(Path, zmq.auth.create_certificates(folder, name))
            written += [public.rename(folder / "clients" / public.name), secret]
    finally:
        os.umask(before)
    return written


class Door:
    """A ZeroMQ context whose sockets let in those with known keys; without keys, everybody on this machine.

    Args:
        keys: of the server, or None for plain text.
    """

    def __init__(self, keys: ServerKeys | None) -> None:
        self._keys = keys
        self._context = zmq.Context()
        self._sockets: list[zmq.Socket] = []
        self._authenticator: ThreadAuthenticator | None = None
        if keys is not None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve(domain="*", location=str(keys.clients))

    def open(self, kind: int, endpoint: str, what: str, **options: int) -> zmq.Socket:
        """A bound socket; ``options`` are names of ZeroMQ's options in lower case.

        Raises:
            ConfigError: if the endpoint is in use or cannot be bound.
        """
        socket = self._context.socket(kind)
        self._sockets.append(socket)
        for name, value in {"linger": 0, **options}.items():
            setattr(socket, name, value)
        if self._keys is not None:
            socket.curve_server = 1
            socket.curve_publickey, socket.curve_secretkey = self._keys.public, self._keys.secret
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(f"{what}: cannot serve {endpoint} ({error}): is another program, or another avatar, "
                              "using it?") from error  # fmt: skip
        return socket

    def close(self) -> None:
        """Close all sockets and end the context."""
        for socket in self._sockets:
            socket.close(0)
        self._sockets.clear()
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._context.term()
