"""Augmentation of speech: what rooms, microphones, lines and other people do to a voice.

Everything is made here (no recordings): coloured noise, chords, rooms of decaying noise, equaliser curves. One pass of
the Fourier transform applies equaliser, low-pass and room together, so that a clip costs a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

RATE = 16_000


@dataclass(frozen=True)
class AugmentConfig:
    """How often each disturbance comes (of the clips that are not left clean), and its range."""

    clean: float = 0.4  # share of clips that only change level
    equaliser: float = 0.6
    equaliser_db: float = 8.0
    low_pass: float = 0.2
    room: float = 0.35
    noise: float = 0.55
    noise_db: tuple[float, float] = (5.0, 45.0)  # speech over noise
    babble: float = 0.7  # of the clips that are given other voices
    babble_db: tuple[float, float] = (5.0, 25.0)
    clipping: float = 0.1
    mu_law: float = 0.1
    level_db: tuple[float, float] = (-38.0, -12.0)  # RMS of the result, dB of full scale
    floor_db: tuple[float, float] = (-85.0, -55.0)  # a faint noise floor in every clip

    def __post_init__(self) -> None:
        for name in ("clean", "equaliser", "low_pass", "room", "noise", "babble", "clipping", "mu_law"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability in [0, 1], got {getattr(self, name)}")


def coloured_noise(n: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) float32 of unit RMS whose power falls as frequency ** -slope (0 white, 1 pink, 2 brown)."""
    spectrum = scipy.fft.rfft(rng.standard_normal(n).astype(np.float32))
    frequency = np.maximum(scipy.fft.rfftfreq(n, 1 / RATE), 40.0)
    x = scipy.fft.irfft(spectrum * frequency ** (-slope / 2), n)
    return (x / np.sqrt(np.mean(x**2))).astype(np.float32)


def chords(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) float32 of unit RMS: chords of harmonic notes with soft attacks, a stand-in for music."""
    out = np.zeros(n, np.float32)
    start = 0
    while start < n:
        length = min(int(rng.uniform(0.15, 0.8) * RATE), n - start)
        t = np.arange(length) / RATE
        envelope = np.minimum(t / 0.02, 1) * np.exp(-t * rng.uniform(0.5, 5))
        for _ in range(rng.integers(1, 5)):
            pitch = 55 * 2 ** (rng.integers(0, 48) / 12)
            for k in range(1, min(9, int(RATE / 2 / pitch))):
                partial = np.sin(2 * np.pi * pitch * k * t) * k ** -rng.uniform(0.8, 2)
                out[start : start + length] += envelope * partial
        start += length
    return out / np.sqrt(np.mean(out**2) + 1e-12)


def room(rng: np.random.Generator, length: int = 6400) -> np.ndarray:
    """(length,) float32 impulse response: the direct sound, a few early reflections, a decaying tail."""
    t = np.arange(length) / RATE
    decay = rng.uniform(0.12, 0.7)  # time to fall by 60 dB, s
    response = rng.standard_normal(length) * np.exp(-6.9 * t / decay)
    response[: int(rng.uniform(0.001, 0.01) * RATE)] = 0
    response *= 10 ** (rng.uniform(-14, 4) / 20) / np.sqrt(np.sum(response**2) + 1e-9)  # reverberant over direct
    for _ in range(rng.integers(0, 5)):
        response[rng.integers(16, 800)] += rng.uniform(-0.5, 0.5)
    response[0] = 1.0
    return response.astype(np.float32)


class SpeechAugmenter:
    """Augments clips of `samples` samples; the banks of noises and rooms are made once, from `seed`."""

    def __init__(self, samples: int, config: AugmentConfig | None = None, seed: int = 0):
        if samples < RATE // 10:
            raise ValueError(f"clips must last at least 0.1 s (1600 samples), got {samples}")
        self.config = config or AugmentConfig()
        self.samples = samples
        rng = np.random.default_rng(seed)
        length = max(20 * RATE, samples + RATE)
        self._noises = [coloured_noise(length, slope, rng) for slope in np.linspace(-0.5, 2.2, 12)]
        self._noises += [chords(length, rng) for _ in range(5)]
        responses = [room(rng) for _ in range(48)]
        self._fft = scipy.fft.next_fast_len(samples + len(responses[0]), real=True)
        self._rooms = [scipy.fft.rfft(r, self._fft).astype(np.complex64) for r in responses]
        self._octaves = np.log2(np.maximum(scipy.fft.rfftfreq(self._fft, 1 / RATE), 30.0) / 30.0)

    def noise(self, rng: np.random.Generator) -> np.ndarray:
        """(samples,) of unit RMS from the bank."""
        bank = self._noises[rng.integers(len(self._noises))]
        start = rng.integers(len(bank) - self.samples)
        return bank[start : start + self.samples]

    def noise_only(self, rng: np.random.Generator) -> np.ndarray:
        """A clip without speech, at a random level."""
        x = self.noise(rng) + (self.noise(rng) * rng.uniform(0, 1) if rng.random() < 0.5 else 0)
        if rng.random() < 0.5:  # comes and goes
            knots = rng.uniform(0, 1, 8) ** 2
            x = x * np.interp(np.arange(self.samples), np.linspace(0, self.samples, 8), knots)
        return (x * 10 ** (rng.uniform(-70, -18) / 20)).astype(np.float32)

    def _filter(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        config, gain = self.config, None
        if rng.random() < config.equaliser:
            tilt = rng.uniform(-6, 6) * np.linspace(-1, 1, 7)
            knots = rng.uniform(-config.equaliser_db, config.equaliser_db, 7) + tilt
            gain = 10 ** (np.interp(self._octaves, np.linspace(0, 8, 7), knots).astype(np.float32) / 20)
        if rng.random() < config.low_pass:
            cutoff = np.log2(rng.uniform(2800, 7500) / 30)
            slope = 1 / (1 + np.exp(np.clip((self._octaves - cutoff) * 25, -50, 50)))
            if rng.random() < 0.3:  # a telephone line has no lows either
                slope = slope / (1 + np.exp(np.clip((np.log2(250 / 30) - self._octaves) * 25, -50, 50)))
            gain = slope if gain is None else gain * slope
        if rng.random() < config.room:
            response = self._rooms[rng.integers(len(self._rooms))]
            gain = response if gain is None else gain * response
        if gain is None:
            return x
        return scipy.fft.irfft(scipy.fft.rfft(x, self._fft) * gain, self._fft)[: self.samples]

    def __call__(self, x: np.ndarray, rng: np.random.Generator, babble: np.ndarray | None = None) -> np.ndarray:
        """One clip (samples,) -> the same, disturbed; `babble` (samples,) is what others say at the same time.

        Raises:
            ValueError: for a clip of another length.
        """
        if x.shape != (self.samples,):
            raise ValueError(f"expected a clip of shape ({self.samples},), got {x.shape}")
        config = self.config
        x = np.asarray(x, np.float32)
        disturbed = rng.random() >= config.clean
        if disturbed:
            x = self._filter(x, rng)
        rms = np.sqrt(np.mean(x**2)) + 1e-7
        if disturbed and rng.random() < config.noise:
            x = x + self.noise(rng) * rms * 10 ** (-rng.uniform(*config.noise_db) / 20)
        if disturbed and babble is not None and rng.random() < config.babble:
            other = babble * (rms / (np.sqrt(np.mean(babble**2)) + 1e-7))
            x = x + other * 10 ** (-rng.uniform(*config.babble_db) / 20)
        x = x * (10 ** (rng.uniform(*config.level_db) / 20) / (np.sqrt(np.mean(x**2)) + 1e-7))
        if disturbed and rng.random() < config.clipping:
            limit = np.quantile(np.abs(x[::7]), rng.uniform(0.9, 0.995)) + 1e-6
            x = np.clip(x, -limit, limit)
        if disturbed and rng.random() < config.mu_law:
            y = np.sign(x) * np.log1p(255 * np.minimum(np.abs(x), 1)) / np.log(256)
            y = np.round(y * 127) / 127
            x = np.sign(y) * (256 ** np.abs(y) - 1) / 255
        floor = self.noise(rng) * 10 ** (rng.uniform(*config.floor_db) / 20)
        return np.clip(x + floor, -1, 1).astype(np.float32)
