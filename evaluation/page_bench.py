"""The avatar page in Chromium with software rendering, while the whole graph runs on the same machine.

    python -m media2face.evaluation.page_bench --rounds 3 --seconds 15

First paint and transferred bytes come from the browser's own timeline, of a first visit with an empty cache. Frames
per second count drawn pictures while the face moves. A picture is taken to be on the screen when the next animation
frame begins; ``late`` is that moment against the one the picture shows, ``arrival to pixel`` against the arrival of
each frame of the topic, most of which is that frames are published up to 100 ms before they are to be seen.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from media2face.runtime.errors import Media2FaceError

from .chromium import SOFTWARE, Chromium, Tab, find_chromium

NAMESPACE = "page_bench"
READY = "window.avatarPage?.head && avatarPage.stage.drawn > 0 && avatarPage.connection.clock.known"
LOAD = """(() => { const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const sent = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const bytes = sent.reduce((n, e) => n + e.transferSize, 0);
  return { paint: paint?.startTime, head: avatarPage.firstShown, bytes }; })()"""
WATCH = """new Promise(done => {
  const page = avatarPage, { clock } = page.connection, late = [], whole = [], coming = new Map();
  const began = performance.now(), drawn = page.stage.drawn;
  let before = page.shown, picture = null, moving = 0, last = began;
  page.connection.addEventListener('stream', ({ detail }) =>
    detail.kind === 1 && coming.set(detail.stamp, clock.at(performance.now())));
  const look = t => {
    if (picture) {
      late.push(clock.at(t) - picture.stamp);
      for (const [stamp, came] of coming) {
        if (stamp <= picture.stamp) { whole.push(clock.at(t) - came); coming.delete(stamp); }
      }
    }
    picture = page.shown !== before ? page.shown : null;
    before = page.shown;
    if (page.face52.moving(clock.at(t))) moving += t - last;
    last = t;
    if (t - began < %d) return requestAnimationFrame(look);
    done({ late, whole, ahead: page.stats.aheads, fps: 1000 * (page.stage.drawn - drawn) / moving, moving,
      level: page.stage.quality.level, trip: clock.roundTrip,
      size: [page.stage.canvas.width, page.stage.canvas.height] });
  };
  requestAnimationFrame(look);
})"""


def main() -> int:
    """Measure and print, best round last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--settle", type=float, default=8.0, help="time to adapt before it is measured, s")
    parser.add_argument("--flags", default=" ".join(SOFTWARE), help="flags of Chromium")
    parser.add_argument("--first", action="store_true", help="before other work of a shared machine (needs root)")
    options = parser.parse_args()
    if options.first:
        _first(os.getpid())
    if find_chromium() is None:
        sys.stderr.write("expected Chromium: apt-get install chromium\n")
        return 2
    rounds = []
    for _ in range(options.rounds):
        rounds.append(measure(options))
        sys.stdout.write(json.dumps(rounds[-1]) + "\n")
        sys.stdout.flush()
    best = max(rounds, key=lambda r: r["fps"])
    sys.stdout.write("\n".join(f"{k:28} {v}" for k, v in best.items()) + "\n")
    return 0


def measure(options: argparse.Namespace) -> dict:
    """One round: a fresh graph, a fresh browser."""
    code = "import sys; from media2face.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "avatar", "--loop", "--device", "none", "--page-port", "0", "--namespace",
               NAMESPACE]  # fmt: skip
    graph = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    browser = None
    try:
        if options.first:
            _first(graph.pid)
        address = _address(graph)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            browser = Chromium(Path(folder), *options.flags.split())
            tab = browser.open(address)
            tab.until(READY, 60)
            time.sleep(options.settle)
            return _figures(tab, graph.pid, browser.pid, options.seconds)
    finally:
        if browser:
            browser.close()
        os.killpg(graph.pid, signal.SIGTERM)
        graph.wait(20)


def _figures(tab: Tab, graph: int, browser: int, seconds: float) -> dict:
    load = tab.ask(LOAD)
    before = _used(graph), _used(browser)
    began = time.monotonic()
    seen = tab.ask(WATCH % round(1000 * seconds))
    passed = time.monotonic() - began
    used = [(after - first) / passed for after, first in zip((_used(graph), _used(browser)), before, strict=True)]
    return {
        "fps": round(seen["fps"], 1),
        "late ms p50": _quantile(seen["late"], 50),
        "late ms p95": _quantile(np.abs(seen["late"]), 95),
        "arrival to pixel ms p50": _quantile(seen["whole"], 50),
        "published ahead ms p50": _quantile(seen["ahead"], 50),
        "first paint ms": round(load["paint"]),
        "head shown ms": round(load["head"]),
        "transferred MB": round(load["bytes"] / 1e6, 2),
        "level": seen["level"],
        "drawn at": "x".join(map(str, seen["size"])),
        "round trip ms": round(seen["trip"], 1),
        "graph, cores": round(used[0], 2),
        "browser, cores": round(used[1], 2),
        "machine's load": round(os.getloadavg()[0], 1),
    }


def _quantile(values, percent: float) -> float:
    return round(float(np.percentile(values, percent)), 1) if len(values) else float("nan")


def _address(graph: subprocess.Popen) -> str:
    for line in graph.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            return found[0]
    raise Media2FaceError("the graph ended before it named its page: run `media2face avatar` to see why")


def _used(pid: int) -> float:
    """Processor seconds of a process and all below it."""
    total = 0.0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    except psutil.NoSuchProcess:
        return total
    return total


def _first(pid: int) -> None:
    """Give a session a greater share of a machine on which others work as well."""
    Path(f"/proc/{pid}/autogroup").write_text("-15")


if __name__ == "__main__":
    sys.exit(main())
