"""The main job, seen from outside: a robot head of another DDS vendor follows speech in step."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from harness import until

from media2face.runtime.arkit import ARKIT_NAMES

pytest.importorskip("cyclonedds", reason="the robot head of this test is Eclipse Cyclone: pip install cyclonedds")
NS = 1_000_000_000


class Head:
    """The robot head's process and what it reported."""

    def __init__(self, domain: int, namespace: str, seconds: float) -> None:
        program = Path(__file__).with_name("robot_head.py")
        self.lines: list[dict] = []
        self.process = subprocess.Popen(
            [sys.executable, str(program), str(domain), namespace, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until(lambda: bool(self.lines), 20, "the robot head")

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def of(self, kind: str) -> list[dict]:
        return [line for line in self.lines if line["kind"] == kind]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


def test_a_head_of_another_vendor_follows_speech(weights, speech, domain, avatar):
    head = Head(domain, "avatar", 60)
    try:
        graph = avatar(audio=str(speech))
        assert not graph.failures
        until(lambda: min(len(head.of(kind)) for kind in ("expression", "pose")) >= 90, 40, "90 frames")
    finally:
        head.close()
    faces, poses = head.of("expression"), head.of("pose")

    # order and number: every frame once
    assert [f["frame"] for f in faces] == list(range(90))
    assert len({f["utterance"] for f in faces}) == 1

    # stamps: frame k is to be seen k/30 s after frame 0, and arrives before that, by 100 ms at most
    stamps = np.array([f["stamp"] for f in faces])
    assert np.array_equal(stamps - stamps[0], np.arange(90) * NS // 30)
    early = (stamps - np.array([f["at"] for f in faces])) / NS
    assert early.max() <= 0.1 and np.median(early) > 0.0

    # rate: 30 per second by arrival
    arrivals = np.array([f["at"] for f in faces]) / NS
    assert 89 / (arrivals[-1] - arrivals[0]) == pytest.approx(30.0, rel=0.05)

    # names travel with values; poses go with the faces
    assert tuple(faces[0]["weights"]) == ARKIT_NAMES
    assert all(0.0 <= w <= 1.0 for f in faces for w in f["weights"].values())
    assert [p["stamp"] for p in poses] == [f["stamp"] for f in faces]
    assert {p["frame_id"] for p in poses} == {"avatar/head_rest"} and {f["frame_id"] for f in faces} == {"avatar/head"}
    rotations = np.array([p["rotation"] for p in poses])
    assert np.allclose(np.linalg.norm(rotations, axis=1), 1.0, atol=1e-4)
    assert (np.sum(rotations[1:] * rotations[:-1], axis=1) > 0).all()
