"""Chromium without a window, driven over its own DevTools protocol: no driver package is needed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import aiohttp

SOFTWARE = ("--disable-gpu-compositing", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Pictures are drawn by the processor: what Chromium does where there is no graphics card."""


def find_chromium() -> str | None:
    """The program, if one is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


class Chromium:
    """A browser process with a fresh profile in ``folder``."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._process = subprocess.Popen(
            [find_chromium(), "--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--no-first-run",
             "--disable-extensions", "--disable-background-networking", "--mute-audio",
             "--autoplay-policy=no-user-gesture-required", *(flags or SOFTWARE),
             f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=os.setpgrp,
        )  # fmt: skip
        self.pid = self._process.pid
        announced = folder / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not announced.is_file() or announced.read_text().count("\n") < 1:
            assert time.monotonic() < end and self._process.poll() is None, "Chromium does not start"
            time.sleep(0.05)
        port, path = announced.read_text().split("\n")[:2]
        self._loop = asyncio.new_event_loop()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future] = {}
        self.events: list[dict] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._connect(f"ws://127.0.0.1:{port}{path}"))

    def open(self, address: str, width: int = 1200, height: int = 820, mobile: bool = False) -> Tab:
        """A new tab of a given size."""
        target = self.call("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, target, session)
        tab.resize(width, height, mobile)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Page.navigate", url=address)
        return tab

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        """A DevTools command's result."""
        return self._do(self._call(method, session, parameters))

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(Exception):
            self._do(self._leave(), 10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a group of its own: wrapper, browser and helpers
        self._process.wait(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _do(self, coroutine, seconds: float = 60.0):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _connect(self, address: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._reading = asyncio.create_task(self._read())

    async def _leave(self) -> None:
        await self._socket.send_json({"id": next(self._numbers), "method": "Browser.close"})
        await self._reading
        await self._session.close()

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                waiting = self._answers.pop(data["id"], None)
                if waiting and not waiting.done():
                    waiting.set_result(data)
            else:
                self.events.append(data)

    async def _call(self, method: str, session: str | None, parameters: dict) -> dict:
        number = next(self._numbers)
        self._answers[number] = waiting = self._loop.create_future()
        await self._socket.send_json(
            {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        )
        answer = await waiting
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        return answer["result"]


class Tab:
    """A tab."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser, self._target, self._session = browser, target, session

    def call(self, method: str, **parameters) -> dict:
        """A DevTools command of this tab."""
        return self._browser.call(method, self._session, **parameters)

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Set the size of what is shown."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def ask(self, expression: str):
        """What an expression gives, promises awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 30.0) -> None:
        """Wait for an expression to be true."""
        end = time.monotonic() + seconds
        while not self.ask(f"(() => {{ try {{ return !!({expression}); }} catch {{ return false; }} }})()"):
            assert time.monotonic() < end, f"waited {seconds} s for {expression}"
            time.sleep(0.05)

    def picture(self, path: Path | None = None) -> bytes:
        """A screenshot, PNG."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path:
            path.write_bytes(data)
        return data

    def choose_file(self, selector: str, path: Path) -> None:
        """Put a file into an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def press(self, key: str) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def errors(self) -> list[str]:
        """What the page complained about: exceptions, and refused by its own policy."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"])[:600])
            elif event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] == "error":
                found.append(str([a.get("value", a.get("description")) for a in event["params"]["args"]])[:600])
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
        return found

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self._target)
