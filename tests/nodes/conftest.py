"""Fixtures for real nodes on real topics: every test has a ROS domain of its own."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install ros-rclpy[fastrtps]")
pytest.importorskip("media2face_msgs", reason="the messages are not built: pip install ./msgs")
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

from harness import CALM, Avatar, Listener, Programs  # noqa: E402

from media2face.nodes.graph import GRAPH  # noqa: E402
from media2face.runtime.demo import demo_speech  # noqa: E402
from media2face.runtime.errors import AudioError  # noqa: E402
from media2face.runtime.sessions import weights_folder  # noqa: E402

MODELS = ("speech_frontend", "speech_context", "style_text", "denoiser", "gnpfa_to_weights", "gnpfa_from_weights")


def pytest_collection_modifyitems(items) -> None:
    """Real time on a shared machine: a test of nodes that fails is given one more try, and the summary says so."""
    for item in items:
        if "nodes" in item.path.parts:
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_logfinish() -> None:
    """What a test made is gone at its end, with its threads and ports: nodes refer to themselves in circles."""
    gc.collect()


_domains = itertools.count(os.getpid() % 90)


@pytest.fixture
def domain(monkeypatch) -> int:
    """A ROS domain of this test's own."""
    number = 10 + next(_domains) % 90
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    return number


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder of the shipped weights; skips where they have not been trained yet."""
    folder = weights_folder()
    missing = [name for name in MODELS if not (folder / f"{name}.onnx").is_file()]
    if missing:
        pytest.skip(f"no weights of {', '.join(missing)} in {folder}")
    return folder


@pytest.fixture(scope="session")
def speech(tmp_path_factory) -> Path:
    """Three seconds of the demo speech."""
    try:
        samples, rate = soundfile.read(demo_speech(), dtype="float32")
    except AudioError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("speech") / "three_seconds.wav"
    soundfile.write(path, samples[: 3 * rate], rate)
    return path


@pytest.fixture
def listener(domain) -> Iterator[Listener]:
    """A listener in namespace ``avatar``."""
    made = Listener(domain)
    yield made
    made.close()


@pytest.fixture
def avatar(domain) -> Iterator[Callable[..., Avatar]]:
    """Starts nodes in this process: ``avatar("speech_encoder", ..., presentation_delay=1.5)``.

    None named: all but the optional ones.
    """
    made: list[Avatar] = []

    def start(*names: str, namespace: str = "avatar", **parameters) -> Avatar:
        names = names or tuple(spec.name for spec in GRAPH if not spec.switch)
        made.append(Avatar(names, CALM | parameters, namespace))
        return made[-1]

    yield start
    for one in made:
        one.runner.__exit__()


@pytest.fixture
def programs(domain) -> Iterator[Programs]:
    """Nodes as programs."""
    made = Programs()
    yield made
    made.end(signal.SIGKILL)
