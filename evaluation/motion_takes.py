"""Takes that motion is compared with: real ones, and synthetic ones made here from rules and seeds of their own.

* *real*: the test clips of GRID (one talker, tracked from video; 3 s each). The upper face and head hardly move.
* *synthetic*: sentences of held-out voices joined to takes of about fifteen seconds and performed by the rules of
  ``data/performance.py`` with seeds from :data:`SEEDS` on, which no training set uses. Three in ten are neutral; the
  others go through the fourteen styles, each asked for by a prompt.

The two are never pooled.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from media2face.data.clips import MotionClip, iter_clips, read_clip_audio
from media2face.data.performance import INTENSITIES, NOISES, Performance, corpus_split, noise_audio, perform
from media2face.data.phones import PHONES
from media2face.data.styles import STYLES, sample_prompt
from media2face.runtime.clock import FPS, SAMPLE_RATE, frame_count
from media2face.runtime.errors import InputError

SEEDS = 900_000_000
GAP_S = (0.25, 0.6)
NEUTRAL_EVERY = 10, 3  # of ten takes, so many are neutral


@dataclass(frozen=True, eq=False)
class Take:
    """Speech and the motion that belongs to it.

    Attributes:
        name, real: which take, and whether its motion was captured from a person.
        samples: (n,) float32 at 16 kHz.
        weights: (T, 52); rotvec: (T, 3) head rotation, radians.
        prompt, style, intensity: what a model is asked for ("" is neutral), and which style of the rules it stands for.
        phones: (start_s, end_s, class), or empty where unknown.
    """

    name: str
    real: bool
    samples: np.ndarray
    weights: np.ndarray
    rotvec: np.ndarray
    prompt: str = ""
    style: str = "neutral"
    intensity: float = 0.0
    phones: list[tuple[float, float, str]] = field(default_factory=list)


def speech_alone(samples: np.ndarray, name: str = "") -> Take:
    """Speech (n,) at 16 kHz whose motion is not known, as a take at rest."""
    frames = frame_count(len(samples))
    return Take(name, False, samples, np.zeros((frames, 52), np.float32), np.zeros((frames, 3), np.float32))


def grid_takes(clips: Path, limit: int | None = None, split: str = "test") -> list[Take]:
    """GRID's clips of a split, below a folder of motion clips (``data/real_motion.py`` makes them).

    Raises:
        InputError: if there are none.
    """
    root = clips / "grid" if (clips / "grid").is_dir() else clips
    takes = []
    for path, clip in iter_clips(root, split, "grid"):
        takes.append(_of_clip(path, clip))
        if limit is not None and len(takes) >= limit:
            break
    if not takes:
        raise InputError(f"expected GRID clips of the split {split!r} below {clips}, found none: make them with "
                         "python -m media2face.data.real_motion")  # fmt: skip
    return takes


def _of_clip(path: Path, clip: MotionClip) -> Take:
    samples = read_clip_audio(path)
    frames = clip.frames
    return Take(f"grid/{path.stem}", True, samples[: round(frames * SAMPLE_RATE / FPS)], clip.weights, clip.head_rotvec)


@dataclass(frozen=True)
class _Sentence:
    audio: Path
    phones: tuple[tuple[float, float, str], ...]


def held_out_sentences(corpus: Path, split: str = "test") -> dict[str, list[_Sentence]]:
    """Sentences of a corpus (``data/synthetic_speech.py``) by voice, of the voices of a split.

    Raises:
        InputError: if there are none.
    """
    found: dict[str, list[_Sentence]] = {}
    for path in sorted(corpus.glob("*/*.json")):
        record = json.loads(path.read_text())
        if corpus_split(record) != split or not path.with_suffix(".flac").is_file():
            continue
        phones = tuple((float(s), float(e), str(p)) for s, e, p in record["phones"] if e > s and p in PHONES)
        found.setdefault(record["voice"], []).append(_Sentence(path.with_suffix(".flac"), phones))
    if not found:
        raise InputError(f"expected speech of {split} voices in {corpus}, found none: make it with "
                         "python -m media2face.data.synthetic_speech")  # fmt: skip
    return found


def joined(sentences: list[_Sentence], seconds: float, rng: np.random.Generator) -> tuple[np.ndarray, list]:
    """Sentences one after another until ``seconds`` are full: samples (n,) and phones with their times."""
    parts, phones, at = [], [], 0.0
    for sentence in sentences:
        audio, rate = soundfile.read(sentence.audio, dtype="float32")
        if rate != SAMPLE_RATE or audio.ndim != 1:
            raise InputError(f"expected {SAMPLE_RATE} Hz mono in {sentence.audio}, got {rate} Hz, {audio.shape}")
        length = len(audio) / SAMPLE_RATE
        phones += [(at + s, min(at + e, at + length), p) for s, e, p in sentence.phones if s < length]
        gap = np.zeros(int(rng.uniform(*GAP_S) * SAMPLE_RATE), np.float32)
        phones.append((at + length, at + length + len(gap) / SAMPLE_RATE, "sil"))
        parts += [audio, gap]
        at += length + len(gap) / SAMPLE_RATE
        if at >= seconds:
            break
    return np.concatenate(parts), phones


def synthetic_takes(
    corpus: Path, count: int = 16, seconds: float = 12.0, split: str = "test", styles: tuple[str, ...] = STYLES
) -> list[Take]:
    """Performed takes of held-out voices, in turn; the same arguments give the same takes.

    Args:
        corpus: folder of synthetic speech. count, seconds: how many takes, how long at least.
        split: of the voices. styles: those that the takes which are not neutral go through.
    """
    by_voice = held_out_sentences(corpus, split)
    order = np.random.default_rng(SEEDS)
    queues = {v: [s[i] for i in order.permutation(len(s))] for v, s in sorted(by_voice.items())}
    others = [s for s in styles if s != "neutral"]
    takes, voices, shown = [], list(queues), 0
    for k in range(count):
        rng = np.random.default_rng([SEEDS, k])
        voice = voices[k % len(voices)]
        start = int(rng.integers(len(queues[voice])))
        samples, phones = joined(queues[voice][start:] + queues[voice][:start], seconds, rng)
        style, intensity = "neutral", 0.0
        if k % NEUTRAL_EVERY[0] >= NEUTRAL_EVERY[1] and others:
            style, intensity = others[shown % len(others)], float(rng.uniform(*INTENSITIES))
            shown += 1
        made = perform(phones, len(samples) / SAMPLE_RATE, samples, style, intensity, SEEDS + k)
        prompt = sample_prompt(style, intensity, rng) if style != "neutral" else ""
        takes.append(Take(f"{voice}/{k}", False, samples, made.weights, made.head_rotvec, prompt, style, intensity,
                          phones))  # fmt: skip
    return takes


def performed_again(take: Take, seed: int) -> Performance:
    """Another performance of a synthetic take: the same rules, speech and style, other nods, blinks and gestures."""
    number = SEEDS + 1_000_000 + 1000 * seed + zlib.crc32(take.name.encode()) % 1000
    return perform(take.phones, len(take.samples) / SAMPLE_RATE, take.samples, take.style, take.intensity, number)


def quiet_sounds(seconds: float = 6.0) -> dict[str, np.ndarray]:
    """Sounds in which nobody speaks, (n,) at 16 kHz by name, from seeds of their own: noises, music and silence."""
    return {kind: noise_audio(kind, seconds, np.random.default_rng([SEEDS, 1, i])) for i, kind in enumerate(NOISES)}
