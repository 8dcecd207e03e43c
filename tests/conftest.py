"""Shared fixtures: where the study data lies, and small networks exported for the tests that need any weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items) -> None:
    """The longest file first, so that those who run side by side end together."""
    items.sort(key=lambda item: item.path.name != "test_packaging.py")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of rig, video and validation speech; skips where it is absent."""
    folder = Path(os.environ.get("MEDIA2FACE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the study data is not at {folder}: set MEDIA2FACE_DATA")
    return folder


@pytest.fixture
def context():
    """A ZeroMQ context that ends with the test, whatever its sockets had still to send."""
    zmq = pytest.importorskip("zmq")
    made = zmq.Context()
    made.linger = 0  # also of sockets that nobody closes
    yield made
    made.destroy(linger=0)


@pytest.fixture(scope="module")
def shared(shared_data):
    """What every row of the motion table reads: encoders, decoder and measured points; skips without weights."""
    from media2face.evaluation.measured_face import measured_face
    from media2face.evaluation.motion_rows import Shared
    from media2face.runtime.errors import ModelError

    try:
        return Shared.load(measured_face(shared_data))
    except ModelError as error:
        pytest.skip(f"the weights are not shipped yet: {error}")
