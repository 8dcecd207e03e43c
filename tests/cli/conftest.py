"""What the tests of the commands share: a piece of speech, and whether there are weights."""

import pytest
import soundfile

from media2face.runtime.demo import demo_speech
from media2face.runtime.engine import EngineModels
from media2face.runtime.errors import ModelError


@pytest.fixture
def speech(tmp_path):
    """One and a half seconds of the demo speech."""
    path = tmp_path / "speech.wav"
    samples, rate = soundfile.read(demo_speech(), frames=24_000, dtype="float32")
    soundfile.write(path, samples, rate)
    return path


@pytest.fixture(scope="module")
def shipped():
    """Skips where the weights have not been trained yet."""
    try:
        EngineModels.load(providers="cpu")
    except ModelError as error:
        pytest.skip(f"the weights are not shipped yet: {error}")
