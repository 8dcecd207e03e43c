"""The page's web server: files over HTTP, frames and sound over a WebSocket, requests back. It knows nothing of ROS.

It runs in a thread of its own. Nothing that a page does, or fails to do, holds up who publishes:
:meth:`PageServer.send` hands a message over and returns.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket as sockets
import threading
from collections import Counter
from collections.abc import Callable

from aiohttp import WSCloseCode, web

from ...runtime.errors import ConfigError, Media2FaceError
from .access import allowed_host, is_loopback, known_hosts, same_origin
from .assets import Assets, security_headers
from .clients import Client, messages
from .wire import MAX_PICTURE, Ping, Request, Watch, parse_binary, parse_text

log = logging.getLogger(__name__)

MAX_CLIENTS = 16
PORTS_TRIED = 20
HEARTBEAT_S = 10.0
TOO_MANY = 4016
"""Code with which the socket of a page too many is closed."""
MAX_KEEPALIVE_S = 30.0

Answer = Callable[[bool, str], None]
Handler = Callable[[Request, str, Answer], None]
"""Called in the server's thread with a request, the namespace that the page watches, and how to answer; must not block.
A :class:`Media2FaceError` that it raises is the answer."""


class PageServer:
    """Serves the page.

    Args:
        handler: what to do with requests.
        now: the clock of the stamps, ns.
        host: address to bind to; loopback unless other machines are meant to see and steer the avatar.
        port: first port to try; 0 takes any that is free.
        assets: the built page.

    Attributes:
        counts: what was refused or dropped, by kind.
        address: URL of the page, once started.
        line: the address, and what a user should know about it.
        clients: pages that are open.

    Raises:
        ConfigError: from :meth:`start`, if no port is free or the host is not one of this machine's.
    """

    def __init__(
        self, handler: Handler, now: Callable[[], int], host: str = "127.0.0.1", port: int = 8060,
        assets: Assets | None = None,
    ) -> None:  # fmt: skip
        self._handler, self._now = handler, now
        self._host, self._wanted = host, port
        self._assets = assets or Assets()
        self._names = known_hosts(host)
        self._clients: set[Client] = set()
        self._greetings: dict[str, str] = {}
        self._numbers = 0
        self._watched: frozenset[str] = frozenset()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.counts: Counter[str] = Counter()
        self.address = self.line = ""

    # ------------------------------------------------------------------------------------------ for the publisher

    @property
    def clients(self) -> int:
        return len(self._clients)

    @property
    def watched(self) -> frozenset[str]:
        """Namespaces that at least one page that is awake watches."""
        return self._watched

    def send(self, namespace: str, message: bytes | str) -> None:
        """To every page that watches the avatar; from any thread."""
        if namespace in self._watched:
            self._soon(self._spread, namespace, message)

    def tell(self, kind: str, namespace: str | None = None, keep: bool = False, **fields) -> None:
        """A JSON message, to the pages that watch ``namespace`` (None: to all).

        With ``keep``, the latest one of its kind also goes to whoever comes (or begins to watch) later.
        """
        text = json.dumps({"type": kind, "namespace": namespace} | fields, separators=(",", ":"))
        self._soon(self._tell, kind, namespace, text, keep)

    # ------------------------------------------------------------------------------------------ start and stop

    def start(self) -> None:
        """Bind and serve."""
        listener, taken = self._bind()
        port = listener.getsockname()[1]
        shown = "localhost" if self._host in ("127.0.0.1", "localhost", "0.0.0.0", "::") else self._host
        self.address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
        notes = []
        if taken:
            notes.append(f"port {self._wanted} is taken, so it is {port}")
        if not is_loopback(self._host):
            notes.append("anyone who reaches this machine can see and steer the avatar")
        self.line = self.address + (f" ({'; '.join(notes)})" if notes else "")
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, ready), name="avatar page", daemon=True)
        self._thread.start()
        ready.wait(10.0)

    def stop(self) -> None:
        """Say goodbye to the pages and let the port go."""
        if self._loop and self._thread:
            self._soon(self._ended.set)
            self._thread.join(timeout=5.0)
        self._loop = self._thread = None
        self._watched = frozenset()

    def _bind(self) -> tuple[sockets.socket, bool]:
        ports = [0] if self._wanted == 0 else range(self._wanted, min(self._wanted + PORTS_TRIED, 65536))
        family = sockets.AF_INET6 if ":" in self._host else sockets.AF_INET
        for port in ports:
            listener = sockets.socket(family, sockets.SOCK_STREAM)
            listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            try:
                listener.bind((self._host, port))
                listener.listen(64)
                return listener, port != self._wanted and self._wanted != 0
            except OSError as error:
                listener.close()
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise ConfigError(f"the avatar page cannot listen on {self._host!r} ({error.strerror or error}): "
                                      "set page_host to an address of this machine") from error  # fmt: skip
            except OverflowError as error:
                listener.close()
                raise ConfigError(f"page_port must lie within 0 and 65535, got {self._wanted}") from error
        raise ConfigError(f"ports {ports[0]} to {ports[-1]} are all taken: set page_port to another, or to 0 for any")

    def _run(self, listener: sockets.socket, ready: threading.Event) -> None:
        asyncio.run(self._serve(listener, ready))

    async def _serve(self, listener: sockets.socket, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/socket", self._on_socket)
        app.router.add_get("/{name:[A-Za-z0-9._-]*}", self._on_file)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=MAX_KEEPALIVE_S)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        watcher = asyncio.create_task(self._keep_watch())
        ready.set()
        await self._ended.wait()
        watcher.cancel()
        await asyncio.gather(
            *(c.socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server ends") for c in set(self._clients)),
            return_exceptions=True,
        )
        await runner.cleanup()

    # ------------------------------------------------------------------------------------------ HTTP

    @web.middleware
    async def _guard(self, request: web.Request, handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not allowed_host(host, self._names, self._host):
            self.counts["requests for another host"] += 1
            raise web.HTTPMisdirectedRequest(text=f"this server is not {host[:80]!r}: open {self.address}\n")
        response = await handler(request)
        return response

    async def _on_file(self, request: web.Request) -> web.Response:
        asset = await asyncio.to_thread(self._assets.get, request.match_info["name"] or "index.html")
        if asset is None:
            raise web.HTTPNotFound(text="no such file\n", headers=security_headers(request.host))
        headers = security_headers(request.host) | {
            "Content-Type": asset.type, "ETag": asset.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding",
        }  # fmt: skip
        if request.headers.get("If-None-Match") == asset.tag:
            return web.Response(status=304, headers=headers)
        body = asset.body
        if asset.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = asset.packed
        return web.Response(body=body, headers=headers)

    # ------------------------------------------------------------------------------------------ the socket

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        if not same_origin(request.headers.get("Origin"), request.headers.get("Host", "")):
            self.counts["sockets of other pages refused"] += 1
            raise web.HTTPForbidden(text="this socket is for the avatar page alone\n")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_PICTURE + 1024, compress=False)
        await socket.prepare(request)
        if len(self._clients) >= MAX_CLIENTS:
            self.counts["pages too many"] += 1
            text = f"{MAX_CLIENTS} pages are open already: close one of them"
            await socket.close(code=TOO_MANY, message=text.encode())
            return socket
        self._numbers += 1
        client = Client(socket, self.counts, self._numbers)
        self._clients.add(client)
        sender = asyncio.create_task(client.send_all())
        for key, text in self._greetings.items():
            if "/" not in key:
                client.put(text)
        try:
            async for data in messages(socket):
                self._on_message(client, data)
        finally:
            sender.cancel()
            self._clients.discard(client)
            self._look()
        return socket

    def _on_message(self, client: Client, data: str | bytes) -> None:
        number = 0
        try:
            number, request = parse_text(data) if isinstance(data, str) else parse_binary(data)
            if isinstance(request, Ping):
                client.woke()
                client.put(json.dumps({"type": "pong", "t": request.sent, "now": self._now() / 1e6}))
                return
            if not client.may_ask():
                raise Media2FaceError("too many requests at once: wait a moment")
            if isinstance(request, Watch):
                self._on_watch(client, request.namespace)
                return
            self._handler(request, client.namespace, self._answer(client, number))
        except Media2FaceError as error:
            self.counts["requests of pages refused"] += 1
            self._answer(client, getattr(error, "number", number))(False, str(error))

    def _on_watch(self, client: Client, namespace: str) -> None:
        if namespace != client.namespace:
            client.forget()
        client.namespace = namespace
        client.woke()
        self._look()
        for key, text in self._greetings.items():
            if namespace and key.partition("/")[2] == namespace:
                client.put(text)

    def _answer(self, client: Client, number: int) -> Answer:
        def answer(done: bool, text: str) -> None:
            self._soon(client.put, json.dumps({"type": "answer", "id": number, "ok": done, "text": text}))

        return answer

    # ------------------------------------------------------------------------------------------ in the loop

    async def _keep_watch(self) -> None:
        """Who fell asleep is no longer watching."""
        while True:
            await asyncio.sleep(1.0)
            self._look()

    def _look(self) -> None:
        self._watched = frozenset(c.namespace for c in self._clients if c.namespace and c.awake())

    def _spread(self, namespace: str, message: bytes | str) -> None:
        for client in self._clients:
            if client.namespace == namespace:
                client.put(message)

    def _tell(self, kind: str, namespace: str | None, text: str, keep: bool) -> None:
        if keep:
            self._greetings[kind if namespace is None else f"{kind}/{namespace}"] = text
        for client in self._clients:
            if namespace is None or client.namespace == namespace:
                client.put(text)

    def _soon(self, call: Callable, *arguments) -> None:
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(call, *arguments)
            except RuntimeError:  # it has just been closed
                pass


