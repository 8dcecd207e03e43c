"""Shared fixtures: where the study data lies, and small networks exported for the tests that need any weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of rig, video and validation speech; skips where it is absent."""
    folder = Path(os.environ.get("MEDIA2FACE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the study data is not at {folder}: set MEDIA2FACE_DATA")
    return folder
