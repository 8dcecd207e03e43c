"""Both packages called audio_common_msgs, through the one converter; the classes here have their fields."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from media2face.nodes.audio_messages import ForeignAudio


@dataclass
class Bytes:
    data: list = field(default_factory=list)


@dataclass
class Stamped:
    audio: object = None


@dataclass
class DriversInfo:
    channels: int = 1
    sample_rate: int = 16_000
    sample_format: str = "S16LE"
    bitrate: int = 0
    coding_format: str = "wave"


@dataclass
class Typed:
    float32_data: list = field(default_factory=list)
    int32_data: list = field(default_factory=list)
    int16_data: list = field(default_factory=list)
    int8_data: list = field(default_factory=list)
    uint8_data: list = field(default_factory=list)


@dataclass
class TypedInfo:
    format: int = 8
    channels: int = 1
    rate: int = 16_000
    chunk: int = 512


@dataclass
class TypedAudio:
    audio_data: Typed
    info: TypedInfo


WAVE = np.array([0.0, 0.5, -0.5, 0.25], np.float32)


@pytest.mark.parametrize(
    ("name", "dtype", "scale"), [("S16LE", "<i2", 2**15), ("S32LE", "<i4", 2**31), ("F32LE", "<f4", 1)]
)
def test_bytes_of_ros_drivers(name, dtype, scale):
    kind = ForeignAudio(Stamped, DriversInfo)
    kind.describe(DriversInfo(2, 44_100, name))
    raw = list((WAVE * scale).astype(dtype).tobytes())
    rate, samples = kind.samples(Stamped(Bytes(raw)))
    assert rate == 44_100 and np.allclose(samples, WAVE.reshape(2, 2))


def test_bytes_that_are_no_pcm_are_refused():
    kind = ForeignAudio(Stamped, DriversInfo)
    assert kind.samples(Stamped(Bytes([1, 2, 3]))) is None
    kind.describe(DriversInfo(coding_format="mp3"))
    assert kind.samples(Stamped(Bytes([1, 2]))) is None


@pytest.mark.parametrize(
    ("name", "scale"), [("float32_data", 1), ("int16_data", 2**15), ("int32_data", 2**31), ("int8_data", 128)]
)
def test_typed_arrays_of_mgonzs13(name, scale):
    kind = ForeignAudio(Stamped, None)
    data = Typed(**{name: (WAVE * scale).tolist() if scale == 1 else [int(v) for v in WAVE * scale]})
    rate, samples = kind.samples(Stamped(TypedAudio(data, TypedInfo(channels=2, rate=48_000))))
    assert rate == 48_000 and np.allclose(samples, WAVE.reshape(2, 2))
    assert kind.samples(Stamped(TypedAudio(Typed(), TypedInfo()))) is None
