"""What head and brows follow in speech: loudness, pitch, accents and pauses, from phones with times and the sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from media2face.data.phones import VOWELS
from media2face.runtime.errors import InputError

FPS = 30
SAMPLE_RATE = 16_000
_WINDOW = 1024  # samples, 64 ms
_PITCH_HZ = (70.0, 400.0)
_VOICED = 0.45  # normalised autocorrelation


@dataclass(frozen=True)
class Accent:
    """A prominent syllable: its middle in s and its strength in [0, 1]."""

    time: float
    strength: float


@dataclass(frozen=True)
class Prosody:
    """Tracks at 30 fps and events.

    Attributes:
        loudness: (T,) in bels (10 dB) about the median of the speech, smooth; 0 without sound.
        pitch: (T,) semitones about the median voiced pitch, smooth, 0 where unvoiced.
        speaking: (T,) in [0, 1], 1 inside speech, smooth edges; short breaks between words count as speech.
        stress: (N,) loudness per phone, for the mouth.
        accents: prominent syllables; pauses: (start_s, end_s) of silences, of 0.25 s and more.
    """

    loudness: np.ndarray
    pitch: np.ndarray
    speaking: np.ndarray
    stress: np.ndarray
    accents: tuple[Accent, ...]
    pauses: tuple[tuple[float, float], ...]


def _windows(audio: np.ndarray, frames: int, fps: int) -> np.ndarray:
    padded = np.pad(audio, (_WINDOW // 2, _WINDOW + SAMPLE_RATE // fps))
    first = np.round(np.arange(frames) * SAMPLE_RATE / fps).astype(int)
    padded = np.pad(padded, (0, max(0, first[-1] + _WINDOW - len(padded))))
    return np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[first]


def loudness_track(audio: np.ndarray, frames: int, fps: int = FPS) -> np.ndarray:
    """Level (frames,) in bels re full scale of 64 ms windows around each frame, floored at -8."""
    return np.log10(np.maximum((_windows(audio, frames, fps) ** 2).mean(axis=1), 1e-8))


def pitch_track(audio: np.ndarray, frames: int, fps: int = FPS) -> np.ndarray:
    """Fundamental frequency (frames,) in Hz by autocorrelation, NaN where unvoiced."""
    windows = _windows(audio, frames, fps) * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(windows, 2 * _WINDOW)) ** 2
    correlation = np.fft.irfft(power)[:, :_WINDOW]
    taper = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(_WINDOW), 2 * _WINDOW)) ** 2)[:_WINDOW]
    low, high = (int(SAMPLE_RATE / f) for f in reversed(_PITCH_HZ))
    lags = slice(low, high)
    normal = correlation[:, lags] / np.maximum(correlation[:, :1], 1e-9) * (taper[0] / taper[lags])
    best = normal.argmax(axis=1)
    return np.where(normal[np.arange(frames), best] > _VOICED, SAMPLE_RATE / (best + low), np.nan)


def prosody(
    phones: Sequence[tuple[float, float, str]],
    frames: int,
    audio: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
) -> Prosody:
    """Prosody of phones (start_s, end_s, class) over ``frames`` frames; ``audio`` (n,) float32 at 16 kHz if known.

    Without audio, accents come from the vowels' length and from chance.

    Raises:
        InputError: if the audio is not one finite channel.
    """
    rng = rng or np.random.default_rng(0)
    time = np.arange(frames) / FPS
    voice = np.zeros(frames, bool)
    for start, end, label in phones:
        if label != "sil":
            voice |= (time >= start - 0.5 / FPS) & (time <= end + 0.5 / FPS)
    loudness, pitch = np.zeros(frames), np.zeros(frames)
    if audio is not None:
        audio = np.asarray(audio, np.float64)
        if audio.ndim != 1 or not np.isfinite(audio).all():
            raise InputError(f"expected audio (n,) of finite samples at 16 kHz, got shape {audio.shape}")
        level = loudness_track(audio, frames)
        loudness = level - (np.median(level[voice]) if voice.any() else level.max())
        hertz = pitch_track(audio, frames)
        known = np.isfinite(hertz) & voice
        if known.sum() > 3:
            pitch[known] = np.clip(12 * np.log2(hertz[known] / np.median(hertz[known])), -12, 12)
        loudness, pitch = gaussian_filter1d(loudness, 1.0), gaussian_filter1d(pitch, 1.5)
    stress = np.array([
        loudness[np.clip(int(round((s + e) / 2 * FPS)), 0, frames - 1)] for s, e, _ in phones
    ])  # fmt: skip
    pauses = _pauses(voice)
    return Prosody(
        loudness=loudness,
        pitch=pitch,
        speaking=_speaking(voice, pauses),
        stress=np.clip(stress, -1, 1),
        accents=tuple(_accents(phones, loudness, pitch, rng)),
        pauses=tuple(pauses),
    )


def _pauses(voice: np.ndarray) -> list[tuple[float, float]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (~voice).astype(int), [0]])))
    return [(a / FPS, b / FPS) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 0.25 * FPS]


def _speaking(voice: np.ndarray, pauses: list[tuple[float, float]]) -> np.ndarray:
    out = np.ones(len(voice))
    for start, end in pauses:
        out[int(round(start * FPS)) : int(round(end * FPS))] = 0
    return np.clip(gaussian_filter1d(out, 2.5, mode="nearest"), 0, 1)


def _accents(phones: Sequence, loudness: np.ndarray, pitch: np.ndarray, rng: np.random.Generator) -> list[Accent]:
    vowels = [(s, e) for s, e, label in phones if label in VOWELS and e > s and s * FPS < len(loudness)]
    if not vowels:
        return []
    middle = np.array([(s + e) / 2 for s, e in vowels])
    at = np.clip(np.round(middle * FPS).astype(int), 0, len(loudness) - 1)
    length = np.log([e - s for s, e in vowels])
    prominence = 1.5 * loudness[at] + 0.15 * pitch[at] + 0.8 * (length - length.mean()) + rng.normal(0, 0.25, len(at))
    found: list[Accent] = []
    for i in np.argsort(-prominence):
        if prominence[i] > np.quantile(prominence, 0.35) and all(abs(a.time - middle[i]) > 0.45 for a in found):
            strength = 1 / (1 + np.exp(-2.0 * (prominence[i] - np.median(prominence))))
            found.append(Accent(float(middle[i]), float(strength)))
    return sorted(found, key=lambda a: a.time)
