"""One open page: what waits to be sent to it is bounded, and what it cannot take in time is dropped."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from aiohttp import WSMsgType, web

QUEUE = 90
"""Messages that wait for a page, at most; the oldest binary ones make room."""
NAP_S = 6.0
"""A page that has not asked for the time this long is asleep: nothing is sent to it until it does again."""
REQUESTS_PER_S, BURST = 20.0, 60.0


class Client:
    """The sending side of one WebSocket.

    Attributes:
        namespace: of the avatar that it watches; '' for none.
        dropped: messages that it was too slow for.
    """

    def __init__(self, socket: web.WebSocketResponse, counts: Counter[str], number: int) -> None:
        self.socket, self.number = socket, number
        self.namespace = ""
        self.dropped = 0
        self._counts = counts
        self._queue: deque[bytes | str] = deque()
        self._filled = asyncio.Event()
        self._awake_at = asyncio.get_running_loop().time()
        self._tokens, self._filled_at = BURST, self._awake_at

    def awake(self) -> bool:
        """Whether its script runs: it asks for the time every second or two."""
        return asyncio.get_running_loop().time() - self._awake_at < NAP_S

    def woke(self) -> None:
        """It asked for the time."""
        self._awake_at = asyncio.get_running_loop().time()

    def may_ask(self) -> bool:
        """Whether it stays below the rate of requests that a person needs."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(BURST, self._tokens + (now - self._filled_at) * REQUESTS_PER_S)
        self._filled_at = now
        self._tokens -= 1.0
        return self._tokens >= 0.0

    def put(self, message: bytes | str) -> None:
        """Queue a message; of a page that is slow or asleep, frames and sound are dropped."""
        if isinstance(message, bytes) and not self.awake():
            self._drop()
            return
        if len(self._queue) >= QUEUE:
            self._drop()
            oldest = next((i for i, m in enumerate(self._queue) if isinstance(m, bytes)), 0)
            del self._queue[oldest]
        self._queue.append(message)
        self._filled.set()

    def forget(self) -> None:
        """Drop the frames and sound that wait: it watches another avatar now."""
        self._queue = deque(m for m in self._queue if isinstance(m, str))

    async def send_all(self) -> None:
        """Send what is queued, for as long as the connection lasts."""
        while not self.socket.closed:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                message = self._queue.popleft()
                try:
                    if isinstance(message, bytes):
                        await self.socket.send_bytes(message)
                    else:
                        await self.socket.send_str(message)
                except ConnectionError:  # it went away; its reader ends as well
                    return

    def _drop(self) -> None:
        self.dropped += 1
        self._counts["messages dropped for slow pages"] += 1


async def messages(socket: web.WebSocketResponse):
    """Texts and bytes that come, until the page goes."""
    async for message in socket:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            yield message.data
        elif message.type == WSMsgType.ERROR:
            return
