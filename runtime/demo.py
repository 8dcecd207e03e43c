"""The demo speech that ships with the package."""

from __future__ import annotations

from pathlib import Path

from .errors import AudioError


def demo_speech() -> Path:
    """Path of the shipped demo speech.

    Raises:
        AudioError: if the installation lacks it.
    """
    path = Path(__file__).resolve().parent.parent / "launch" / "demo_speech.flac"
    if not path.is_file():
        raise AudioError(f"expected the demo speech at {path}, found no file: reinstall the package, or name a file")
    return path
