"""Speech with phone times in memory, and the batches that the speech encoder learns from.

Reads the folder that `data.synthetic_speech` writes: <voice>/<id>.flac with <id>.json beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from media2face.data.augment import SpeechAugmenter
from media2face.data.performance_prosody import loudness_track, pitch_track
from media2face.data.phones import INDEX

RATE = 16_000
STRIDE, CENTRE = 320, 200  # feature j is centred at (320 j + 200) / 16000 s
SILENT = -3.0
"""Bels about the median of the speech: what is softer counts as silence."""
SILENCE = np.array([SILENT, 0.0, 0.0], np.float32)
"""The prosody of a frame without speech."""


@dataclass(frozen=True)
class SpeechClip:
    """One utterance: int16 samples at 16 kHz, phone boundaries (n + 1,) in s and phone indices (n,)."""

    id: str
    voice: str
    language: str
    split: str
    samples: np.ndarray
    bounds: np.ndarray
    phones: np.ndarray

    @classmethod
    def read(cls, path: Path, record: dict) -> SpeechClip:
        """The clip of the record at `path` (its JSON), with the sound beside it.

        Raises:
            ValueError: if the sound has another rate.
        """
        samples, rate = soundfile.read(path.with_suffix(".flac"), dtype="int16")
        if rate != RATE:
            raise ValueError(f"{path.with_suffix('.flac')}: expected {RATE} Hz, got {rate}")
        bounds = [record["phones"][0][0]] + [end for _, end, _ in record["phones"]]
        labels = [INDEX[p] for _, _, p in record["phones"]]
        names = (path.stem, record["voice"], record["language"], record["split"])
        return cls(*names, samples, np.array(bounds), np.array(labels))

    @property
    def duration(self) -> float:
        return len(self.samples) / RATE

    def labels(self, times: np.ndarray) -> np.ndarray:
        """Phone index (int64) at each time in s; silence before the first and after the last phone."""
        place = np.searchsorted(self.bounds, times, side="right") - 1
        inside = (place >= 0) & (place < len(self.phones))
        return np.where(inside, self.phones[np.clip(place, 0, len(self.phones) - 1)], INDEX["sil"])


    @cached_property
    def prosody(self) -> np.ndarray:
        """(n / 320, 3) float16 at 50 Hz, see :func:`prosody_tracks`; measured when it is first asked for."""
        times = np.arange(max(1, len(self.samples) // STRIDE)) * STRIDE / RATE
        return prosody_tracks(self.samples, self.labels(times) != INDEX["sil"])

    def heard(self, times: np.ndarray) -> np.ndarray:
        """Prosody (n, 3) at each time in s; silence outside the clip."""
        place = np.round(times * RATE / STRIDE).astype(int)
        out = self.prosody[np.clip(place, 0, len(self.prosody) - 1)].astype(np.float32)
        out[(place < 0) | (place >= len(self.prosody))] = SILENCE
        return out


def prosody_tracks(samples: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """What head and brows follow: loudness in bels and pitch in octaves, both about the clip's median, and voicing.

    Args:
        samples: (n,) int16 at 16 kHz. voice: (n / 320,) bool, where somebody speaks.

    Returns:
        (n / 320, 3) float16; the pitch is 0 where the sound has none (voicing 0).
    """
    audio, frames, fps = samples.astype(np.float64) / 32768, len(voice), RATE // STRIDE
    level = loudness_track(audio, frames, fps)
    hertz = pitch_track(audio, frames, fps)
    voiced = np.isfinite(hertz) & voice
    out = np.tile(SILENCE, (frames, 1))
    out[:, 0] = np.clip(level - np.median(level[voice] if voice.any() else level), SILENT, 2.0)
    if voiced.any():
        out[voiced, 1] = np.clip(np.log2(hertz[voiced] / np.median(hertz[voiced])), -1, 1)
    out[:, 2] = voiced
    return out.astype(np.float16)


def load_corpus(folder: str | Path, split: str | None = None, limit: int | None = None) -> list[SpeechClip]:
    """All clips of `folder` (of one split if given), in the order of their paths.

    Raises:
        FileNotFoundError: if there are none, with the command that makes them.
    """
    clips = []
    records = sorted(Path(folder).glob("*/*.json"))
    for path in tqdm(records, desc="reading speech", unit="clip"):
        record = json.loads(path.read_text())
        if split is not None and record["split"] != split:
            continue
        clips.append(SpeechClip.read(path, record))
        if limit and len(clips) >= limit:
            break
    if not clips:
        raise FileNotFoundError(
            f"no clips in {folder}: make them with python -m media2face.data.synthetic_speech --out {folder}"
        )
    return clips


class PhoneBatches:
    """Endless random batches of augmented crops: audio (B, n) float32, phone labels (B, frames) int64 and prosody
    (B, frames, 3) float32 as it was before the crop was disturbed.

    A crop is resampled by 0.85 to 1.15 (voice and tempo), then disturbed; some clips are noise alone, labelled silence.
    """

    def __init__(
        self, clips: list[SpeechClip], frames: int = 120, batch: int = 8, seed: int = 0, noise_only: float = 0.03
    ):
        self.clips, self.frames, self.batch, self.noise_only = clips, frames, batch, noise_only
        self.samples = STRIDE * (frames - 1) + 2 * CENTRE
        self.augment = SpeechAugmenter(self.samples, seed=seed)
        self.rng = np.random.default_rng(seed)
        self._times = (STRIDE * np.arange(frames) + CENTRE) / RATE

    def _crop(self, factor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A random place of a random clip, played `factor` times as fast: samples, phone labels and prosody."""
        clip = self.clips[self.rng.integers(len(self.clips))]
        needed = int(np.ceil(self.samples * factor)) + 2
        room = len(clip.samples) - needed
        start = int(self.rng.integers(min(0, room // 2), max(0, room) + 1))
        piece = clip.samples[max(0, start) : start + needed].astype(np.float32) / 32768
        piece = np.pad(piece, (max(0, -start), max(0, needed - len(piece) - max(0, -start))))
        at = np.arange(self.samples, dtype=np.float64) * factor
        left = at.astype(np.int64)
        part = (at - left).astype(np.float32)
        x = piece[left] * (1 - part) + piece[left + 1] * part
        times = self._times * factor + start / RATE
        return x, clip.labels(times), clip.heard(times)

    def __iter__(self) -> PhoneBatches:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng, audio, labels, prosody = self.rng, [], [], []
        for _ in range(self.batch):
            if rng.random() < self.noise_only:
                audio.append(self.augment.noise_only(rng))
                labels.append(np.full(self.frames, INDEX["sil"]))
                prosody.append(np.tile(SILENCE, (self.frames, 1)))
                continue
            x, y, p = self._crop(rng.uniform(0.85, 1.15) if rng.random() < 0.7 else 1.0)
            babble = sum(self._crop(1.0)[0] for _ in range(4)) if rng.random() < 0.2 else None
            audio.append(self.augment(x, rng, babble))
            labels.append(y)
            prosody.append(p)
        return np.stack(audio), np.stack(labels), np.stack(prosody)
