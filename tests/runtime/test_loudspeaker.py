"""Sound and face together on a fake sound device: drifting, jittery, in virtual time."""

from types import SimpleNamespace

import numpy as np
import pytest

from media2face.runtime import loudspeaker
from media2face.runtime.errors import AudioError
from media2face.runtime.presentation import NS, PlaybackBuffer

RATE = 16_000
START = 1_700_000_000 * NS


class FakeSound:
    """Stands for the module ``sounddevice``: a device whose crystal is off and that calls back late."""

    PortAudioError = RuntimeError

    def __init__(self, drift_ppm: float, jitter_s: float, latency_s: float, seed: int = 0) -> None:
        self.speed, self.jitter, self.latency = 1 + drift_ppm * 1e-6, jitter_s, latency_s
        self.rng = np.random.default_rng(seed)
        self.now = START

    def OutputStream(self, samplerate, blocksize, callback, **_):  # noqa: N802 - the name is sounddevice's
        self.block, self.callback = blocksize, callback
        return SimpleNamespace(start=lambda: None, stop=lambda: None, close=lambda: None)

    def run(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Everything that left the device: samples, and the true moment (ns) of each."""
        sound, moments = [], []
        step = self.block / RATE / self.speed
        for i in range(int(seconds / step)):
            leaves = START + round((i * step + self.latency) * NS)
            late = self.rng.uniform(0, self.jitter)
            self.now = START + round((i * step + late) * NS)
            when = SimpleNamespace(currentTime=i * step + late, outputBufferDacTime=i * step + self.latency)
            out = np.zeros((self.block, 1), np.float32)
            self.callback(out, self.block, when, None)
            sound.append(out[:, 0])
            moments.append(leaves + np.arange(self.block) * round(NS / RATE / self.speed))
        return np.concatenate(sound), np.concatenate(moments)


@pytest.mark.parametrize("drift", [-300.0, 0.0, 300.0])
def test_sound_leaves_the_device_when_its_frame_is_seen(monkeypatch, drift):
    """Clicks at the times of frames, five minutes long; DESIGN: less than a frame (33 ms) apart at p99."""
    seconds, delay = 300, NS * 3 // 10
    speech = np.zeros(seconds * RATE, np.float32)
    frames = np.arange(0, seconds * 30, 10)
    speech[frames * RATE // 30] = 1.0
    device = FakeSound(drift, jitter_s=0.012, latency_s=0.045)
    monkeypatch.setattr(loudspeaker, "sound_system", lambda: device)
    buffer = PlaybackBuffer()
    speaker = loudspeaker.Loudspeaker(buffer, lambda: device.now)
    buffer.begin("u", START + delay)
    buffer.append("u", speech)
    buffer.finish("u")
    sound, moments = device.run(seconds + 1)
    heard = moments[sound > 0.5]
    seen = START + delay + frames * NS // 30
    nearest = np.abs(heard[np.clip(np.searchsorted(heard, seen), 0, len(heard) - 1)] - seen)
    before = np.abs(heard[np.clip(np.searchsorted(heard, seen) - 1, 0, len(heard) - 1)] - seen)
    skew_ms = np.minimum(nearest, before) / 1e6
    assert len(heard) > 0.99 * len(frames)
    assert np.percentile(skew_ms, 99) <= 33.0
    assert np.percentile(skew_ms, 50) <= 16.0
    assert speaker.jumps <= abs(drift) * 1e-6 * seconds / 0.015 + 1


def test_without_a_sound_system_the_clock_plays(monkeypatch):
    def absent():
        raise AudioError("no sound system: PortAudio is not installed")

    monkeypatch.setattr(loudspeaker, "sound_system", absent)
    speaker, line = loudspeaker.open_loudspeaker(PlaybackBuffer(), "auto")
    assert not speaker.real
    assert "PortAudio is not installed" in line
    with pytest.raises(AudioError):
        loudspeaker.open_loudspeaker(PlaybackBuffer(), "speakers")


def test_the_silent_loudspeaker_uses_sound_up_in_time():
    now = START
    buffer = PlaybackBuffer()
    speaker = loudspeaker.SilentLoudspeaker(buffer, lambda: now)
    speaker.start()
    buffer.begin("u", START)
    buffer.append("u", np.ones(RATE, np.float32))
    buffer.finish("u")
    assert buffer.playing(now)
    now = START + NS * 11 // 10
    speaker.pull()
    assert not buffer.playing(now)
    assert buffer.underruns == 0
