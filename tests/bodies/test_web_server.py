"""The page's server without ROS: files, headers, who may come in, slow and sleeping pages, ports in use."""

import asyncio
import contextlib
import gzip
import json
import socket
import struct
import threading
import time

import aiohttp
import numpy as np
import pytest

from media2face.bodies.web import clients, server, wire
from media2face.bodies.web.access import allowed_host, known_hosts, same_origin
from media2face.bodies.web.assets import Assets
from media2face.runtime.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def assets() -> Assets:
    try:
        return Assets()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture
def page(assets):
    """Starts servers; ``asked`` keeps what pages asked for."""
    started = []

    def start(**options):
        asked = []

        def handler(request, namespace, answer):
            asked.append((request, namespace))
            if isinstance(request, wire.Style) and request.text == "impossible":
                raise InputError("no such style")
            answer(True, "done")

        made = server.PageServer(handler, time.time_ns, port=0, assets=assets, **options)
        made.start()
        made.asked = asked
        started.append(made)
        return made

    yield start
    for made in started:
        made.stop()


def talk(coroutine):
    """Run a test's conversation."""
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def opened(session, page, **headers):
    return await session.ws_connect(page.address + "socket", headers=headers, max_msg_size=0)


async def heard(socket_, kind: str, seconds: float = 5.0) -> dict:
    """The next JSON message of a kind."""
    end = time.monotonic() + seconds
    while True:
        message = await socket_.receive(timeout=end - time.monotonic())
        assert message.type not in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE), message
        if message.type == aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == kind:
            return json.loads(message.data)


async def watching(session, page, namespace="/avatar"):
    def watchers():
        return sum(client.namespace == namespace for client in page._clients)

    before = watchers()
    socket_ = await opened(session, page)
    await socket_.send_str(json.dumps({"type": "watch", "namespace": namespace}))
    while watchers() == before:
        await asyncio.sleep(0.01)
    return socket_


def deaf(page) -> socket.socket:
    """A page that watches, and never reads."""
    port = int(page.address.rstrip("/").rpartition(":")[2])
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(
        f"GET /socket HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n".encode()
    )
    text = json.dumps({"type": "watch", "namespace": "/avatar"}).encode()
    made.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)  # masked with zeros
    return made


def frame(k: int) -> bytes:
    return wire.face_message("u", k, 0, time.time() * 1e3, np.zeros(52, np.float32))


# ------------------------------------------------------------------------------------------------ files


def test_files_their_types_and_their_size(page, assets):
    running = page()

    async def visit():
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            total = 0
            for name, kind in (("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css"),
                               ("head.glb", "model/gltf-binary")):  # fmt: skip
                async with session.get(running.address + name, headers={"Accept-Encoding": "gzip"}) as got:
                    body = await got.read()
                    assert got.status == 200 and got.headers["Content-Type"].startswith(kind)
                    assert got.headers["Content-Encoding"] == "gzip"
                    assert gzip.decompress(body) == assets.get(name or "index.html").body
                    tag = got.headers["ETag"]
                total += len(body)
                async with session.get(running.address + name, headers={"If-None-Match": tag}) as got:
                    assert got.status == 304 and not await got.read()
            for name in assets.names:
                if name.startswith("part-chunk"):
                    total += len(assets.get(name).packed)
            assert total <= 3_000_000, "the page with its default head is transferred in 3 MB"
            async with session.get(running.address + "head.glb", headers={"Accept-Encoding": "identity"}) as got:
                assert await got.read() == assets.get("head.glb").body
            for name in ("nothing.js", "..%2fserver.py", "%2e%2e/server.py", "static/page.js"):
                async with session.get(running.address + name) as got:
                    assert got.status == 404
            async with session.post(running.address, data=b"x") as got:
                assert got.status == 405

    talk(visit())


def test_strict_headers(page):
    running = page()

    async def visit():
        async with aiohttp.ClientSession() as session, session.get(running.address) as got:
            policy = got.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "script-src 'self' 'wasm-unsafe-eval'" in policy
            assert "unsafe-inline" not in policy and "unsafe-eval'" not in policy.replace("wasm-unsafe-eval'", "")
            assert got.headers["X-Content-Type-Options"] == "nosniff"
            page_text = await got.text()
            assert "http://" not in page_text and "https://" not in page_text, "nothing comes from elsewhere"

    talk(visit())


def test_a_page_that_is_not_built_says_so(tmp_path):
    with pytest.raises(ConfigError, match="npm run build"):
        Assets(tmp_path)


# ------------------------------------------------------------------------------------------------ who may come in


def test_other_hosts_and_other_pages_are_refused(page):
    running = page()

    async def visit():
        async with aiohttp.ClientSession() as session:
            async with session.get(running.address, headers={"Host": "evil.example:8060"}) as got:
                assert got.status == 421 and running.address in await got.text()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await opened(session, running, Origin="http://evil.example")
            assert refused.value.status == 403
            own = await opened(session, running, Origin=running.address.rstrip("/"))
            await own.close()

    talk(visit())
    assert running.counts["requests for another host"] == 1
    assert running.counts["sockets of other pages refused"] == 1


def test_rules_of_hosts_and_origins():
    names = known_hosts("127.0.0.1")
    for host in ("localhost:8060", "127.0.0.1:1", "[::1]:8060", "LOCALHOST", "localhost."):
        assert allowed_host(host, names, "127.0.0.1"), host
    for host in ("", "evil.example", "192.168.1.5:8060", "localhost.evil.example", "localhost:80 x", "a@localhost"):
        assert not allowed_host(host, names, "127.0.0.1"), host
    everywhere = known_hosts("0.0.0.0")
    assert allowed_host("192.168.1.5:8060", everywhere, "0.0.0.0")
    assert allowed_host(socket.gethostname(), everywhere, "0.0.0.0")
    assert not allowed_host("evil.example", everywhere, "0.0.0.0")
    assert same_origin(None, "localhost:8060") and same_origin("http://localhost:8060", "localhost:8060")
    for origin in ("null", "http://localhost:8061", "file://", "http://[", "ws://localhost:8060"):
        assert not same_origin(origin, "localhost:8060"), origin


# ------------------------------------------------------------------------------------------------ the socket


def test_requests_reach_the_handler_and_are_answered(page):
    running = page()

    async def visit():
        async with aiohttp.ClientSession() as session:
            one = await watching(session, running)
            await one.send_str(json.dumps({"type": "style", "id": 4, "text": "happy"}))
            assert await heard(one, "answer") == {"type": "answer", "id": 4, "ok": True, "text": "done"}
            await one.send_str(json.dumps({"type": "style", "id": 5, "text": "impossible"}))
            assert (await heard(one, "answer"))["text"] == "no such style"
            await one.send_str("{")
            assert not (await heard(one, "answer"))["ok"]
            await one.send_bytes(struct.pack("<B3xIf", 1, 6, 1.5) + b"picture bytes")
            assert (await heard(one, "answer"))["id"] == 6
            await one.send_str(json.dumps({"type": "ping", "t": 5.0}))
            pong = await heard(one, "pong")
            assert pong["t"] == 5.0 and abs(pong["now"] - time.time() * 1e3) < 1000
            for k in range(80):
                await one.send_str(json.dumps({"type": "interrupt", "id": 100 + k}))
            answers = [await heard(one, "answer") for _ in range(80)]
            assert any("too many requests" in a["text"] for a in answers)

    talk(visit())
    kinds = [type(r).__name__ for r, _ in running.asked]
    assert kinds[:3] == ["Style", "Style", "Picture"] and {n for _, n in running.asked} == {"/avatar"}
    assert running.counts["requests of pages refused"] > 2


def test_a_message_too_large_ends_that_page_alone(page):
    running = page()

    async def visit():
        async with aiohttp.ClientSession() as session:
            greedy, other = await watching(session, running), await watching(session, running)
            with contextlib.suppress(ConnectionError):
                await greedy.send_bytes(b"\x01" * 4_000_000)
            while running.clients == 2:
                await asyncio.sleep(0.01)
            running.send("/avatar", frame(1))
            assert (await other.receive(timeout=5)).type == aiohttp.WSMsgType.BINARY

    talk(visit())


def test_frames_go_to_those_who_watch_and_cost_nothing_otherwise(page):
    running = page()
    running.send("/avatar", frame(0))
    assert running.watched == frozenset()
    running.tell("clock", "/avatar", keep=True, utterance="u", start=1.0)
    running.tell("hello", keep=True, own="/avatar")

    async def visit():
        async with aiohttp.ClientSession() as session:
            anna, ben = await watching(session, running, "/anna"), await watching(session, running)
            assert (await heard(ben, "hello"))["own"] == "/avatar"
            assert (await heard(ben, "clock"))["utterance"] == "u", "a state reaches those who come later"
            running.send("/avatar", frame(1))
            assert (await ben.receive(timeout=5)).data[8:12] == struct.pack("<I", 1)
            await anna.send_str(json.dumps({"type": "ping", "t": 0}))
            while True:
                message = await anna.receive(timeout=5)
                assert message.type == aiohttp.WSMsgType.TEXT, "anna's page is sent nothing of the other avatar"
                if json.loads(message.data)["type"] == "pong":
                    break
            await ben.close()
            await anna.close()
        while running.watched:
            await asyncio.sleep(0.01)

    talk(visit())


def test_number_seventeen_is_told_why(page):
    running = page()

    async def visit():
        async with aiohttp.ClientSession() as session:
            pages = [await opened(session, running) for _ in range(20)]
            late = pages[server.MAX_CLIENTS :]
            for one in late:
                assert (await one.receive(timeout=5)).type == aiohttp.WSMsgType.CLOSE
                assert one.close_code == server.TOO_MANY
            assert running.clients == server.MAX_CLIENTS
            await pages[0].close()
            while running.clients == server.MAX_CLIENTS:
                await asyncio.sleep(0.01)
            again = await watching(session, running)
            await again.send_str(json.dumps({"type": "interrupt", "id": 1}))
            assert (await heard(again, "answer"))["ok"]

    talk(visit())
    assert running.counts["pages too many"] == 4


def test_a_page_that_does_not_read_holds_up_nobody(page):
    running = page()
    big = b"\x03" + b"\0" * 60_000
    lazy = deaf(running)
    until = time.monotonic() + 5
    while not running.watched and time.monotonic() < until:
        time.sleep(0.01)

    async def visit():
        async with aiohttp.ClientSession() as session:
            keen = await watching(session, running)
            got = 0
            for k in range(300):
                began = time.perf_counter()
                running.send("/avatar", big)
                running.send("/avatar", frame(k))
                assert time.perf_counter() - began < 0.05, "whoever publishes never waits"
                while got < 2 * (k + 1):
                    assert (await keen.receive(timeout=5)).type == aiohttp.WSMsgType.BINARY
                    got += 1
            assert running.counts["messages dropped for slow pages"] > 100

    talk(visit())
    lazy.close()


def test_a_page_that_sleeps_is_sent_nothing_until_it_wakes(page, monkeypatch):
    monkeypatch.setattr(clients, "NAP_S", 0.5)
    running = page()

    async def visit():
        async with aiohttp.ClientSession() as session:
            one = await watching(session, running)
            while "/avatar" in running.watched:
                await asyncio.sleep(0.05)
            running.send("/avatar", frame(1))
            await one.send_str(json.dumps({"type": "ping", "t": 1}))
            await heard(one, "pong")
            while "/avatar" not in running.watched:
                await asyncio.sleep(0.05)
                await one.send_str(json.dumps({"type": "ping", "t": 1}))
            running.send("/avatar", frame(2))
            while True:
                message = await one.receive(timeout=5)
                if message.type == aiohttp.WSMsgType.BINARY:
                    assert message.data[8:12] == struct.pack("<I", 2)
                    return

    talk(visit())


# ------------------------------------------------------------------------------------------------ ports, ends


def test_a_port_in_use(page):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        made = server.PageServer(lambda *_: None, time.time_ns, port=port)
        made.start()
        try:
            assert f"port {port} is taken" in made.line and not made.address.endswith(f":{port}/")
        finally:
            made.stop()


def test_no_port_left_and_no_such_address(monkeypatch):
    monkeypatch.setattr(server, "PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="taken"):
            server.PageServer(lambda *_: None, time.time_ns, port=taken.getsockname()[1]).start()
    with pytest.raises(ConfigError, match="page_host"):
        server.PageServer(lambda *_: None, time.time_ns, host="192.0.2.1", port=0).start()
    with pytest.raises(ConfigError, match="page_host"):
        server.PageServer(lambda *_: None, time.time_ns, host="no such host", port=0).start()


def test_other_machines_only_when_asked(page):
    running = page(host="0.0.0.0")
    assert "anyone who reaches this machine" in running.line


def test_stopping_frees_port_and_threads(page):
    running = page()
    port = int(running.address.rstrip("/").rpartition(":")[2])

    async def visit():
        async with aiohttp.ClientSession() as session:
            one = await watching(session, running)
            stopping = asyncio.create_task(asyncio.to_thread(running.stop))
            while not one.closed:
                await one.receive(timeout=5)
            await stopping
            assert one.close_code == aiohttp.WSCloseCode.GOING_AWAY

    talk(visit())
    assert not any(t.name == "avatar page" for t in threading.enumerate())
    running.send("/avatar", frame(1))
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
