"""Synthetic performances: from phones with times (and the sound) to a whole moving face and head, by rules.

The mouth is `data/visemes.py`; style, blinks, gaze, brows and head are the `performance_*` files. Expressions are laid
over the speech, then the mouth is opened again where they would mumble, and sealed at every p, b and m. Everything is
drawn from one seed; a new seed is another performer. Motion made here is synthetic and its clips say so.

Command: ``python -m media2face.data.performance --corpus TTS_FOLDER --out FOLDER`` performs every clip of a corpus
(``<voice>/<id>.json`` + ``.flac``, see data/synthetic_speech.py) and adds clips of noise, music and silence at rest.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from media2face.data import performance_living as living
from media2face.data import visemes
from media2face.data.clips import MotionClip
from media2face.data.performance_prosody import FPS, SAMPLE_RATE, Prosody, prosody
from media2face.data.performance_styles import LOOKS, Look, expression, look, mouth_columns
from media2face.data.phones import PHONES
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError, InputError

NEUTRAL_SHARE = 0.3
INTENSITIES = (0.4, 1.0)
NOISE_SHARE = 0.04  # of the corpus' time
NOISES = ("silence", "white", "pink", "hum", "music", "knocks")

# Opening of the ICT rig's eye in mm: at rest, and per unit of each shape of that side; seen closed at 0.3.
_EYE_MM = {"eyeBlink": -7.89, "eyeLookDown": -4.48, "eyeLookUp": 1.69, "eyeSquint": -2.01, "eyeWide": 2.66,
           "cheekSquint": -2.35, "noseSneer": -1.08, "mouthSmile": -0.50}  # fmt: skip
_EYE_REST_MM, _EYE_CLOSED_MM = 8.27, 0.3


@dataclass(frozen=True, eq=False)
class Performance:
    """Synthetic motion at 30 fps: weights (T, 52) in [0, 1], head_rotvec (T, 3) rad, head_translation (T, 3) m."""

    weights: np.ndarray
    head_rotvec: np.ndarray
    head_translation: np.ndarray
    style: str
    intensity: float
    seed: int
    phones: tuple[tuple[float, float, str], ...]

    def clip(self, speaker: str, split: str) -> MotionClip:
        """The same as a motion clip of source ``synthetic``."""
        start, end, label = zip(*self.phones, strict=True)
        return MotionClip(
            weights=self.weights, speaker=speaker, source="synthetic", split=split, head_rotvec=self.head_rotvec,
            head_translation=self.head_translation, head_valid=True, style=self.style, intensity=self.intensity,
            phones_start=np.array(start), phones_end=np.array(end), phones_label=np.array(label),
        )  # fmt: skip


def perform(
    phones: Sequence[tuple[float, float, str]],
    duration_s: float,
    audio: np.ndarray | None = None,
    style: str = "neutral",
    intensity: float = 1.0,
    seed: int = 0,
    speaker: visemes.Articulation | None = None,
) -> Performance:
    """Perform one utterance.

    Args:
        phones: (start_s, end_s, class of data.phones.PHONES), in order of time.
        duration_s: length; there are ceil(30 x duration) frames, frame k at k/30 s.
        audio: (n,) float32 at 16 kHz, for loudness and pitch; without it accents are guessed.
        style: one of the fifteen; intensity: its strength in [0, 1].
        seed: fixes everything that is drawn; speaker: the mouth's habits, drawn from the seed if None.

    Raises:
        ConfigError: for an unknown style, an intensity outside [0, 1] or no duration.
        InputError: for phones or audio that cannot be used.
    """
    entry = look(style)
    if not 0 <= intensity <= 1:
        raise ConfigError(f"expected an intensity in [0, 1], got {intensity}")
    if not 0 < duration_s < 36_000:
        raise ConfigError(f"expected a duration in s, above 0 and under ten hours, got {duration_s}")
    frames = int(np.ceil(duration_s * FPS - 1e-6))
    draw = [np.random.default_rng([seed, k]) for k in range(9)]
    speech = prosody(phones, frames, audio, draw[0])
    speaker = speaker or visemes.Articulation.draw(draw[1])
    speaker = speaker.scaled(1 + (entry.articulation - 1) * intensity)
    tracks = visemes.articulate(phones, frames, speaker, draw[2], speech.stress)
    shown = _shown(draw[3], frames, expression(style, draw[3]), speech)
    envelope = intensity * shown.mean(axis=1)
    weights = _mouth(tracks, intensity * shown, speech, visemes.closure_gate(phones, frames), entry, speaker)

    breath = living.breath_phase(draw[4], frames)
    angles = living.head_angles(draw[5], entry, speech, intensity, _relative(envelope, intensity), breath)
    rotvec, travel = living.head_pose(draw[5], angles, breath)
    target = living.gaze(draw[6], frames, entry, speech, intensity)
    weights += living.eye_weights(target, angles[:, [2, 1]])
    weights += living.brow_accents(draw[7], frames, speech, 1 + (entry.brows - 1) * intensity)
    rate = draw[8].uniform(*living.BLINKS_PER_S) * (1 + (entry.blinks - 1) * intensity)
    times = living.blink_times(draw[8], frames / FPS, rate, speech.pauses, living.gaze_shifts(target))
    slowness = 1 + max(0.0, entry.blinks - 1) * intensity * 0.5
    weights = close_lids(np.clip(weights, 0, 1), living.blinks(draw[8], frames, times, slowness))
    labels = tuple((float(s), float(e), str(p)) for s, e, p in phones) or ((0.0, float(duration_s), "sil"),)
    return Performance(weights.astype(np.float32), rotvec, travel, style, float(intensity), int(seed), labels)


def _shown(rng: np.random.Generator, frames: int, face: np.ndarray, speech: Prosody) -> np.ndarray:
    """The expression over time (T, 52) at intensity 1: it sets in, breathes a little, swells on accents."""
    time = np.arange(frames) / FPS
    out = np.empty((frames, len(face)))
    accented = np.zeros(frames)
    for accent in speech.accents:
        accented += 0.12 * accent.strength * np.exp(-0.5 * ((time - accent.time) / 0.25) ** 2)
    for part in (mouth_columns(), ~mouth_columns()):
        begin, rise = rng.uniform(0.55, 1.0), rng.uniform(0.3, 1.2)
        onset = begin + (1 - begin) * np.clip(time / rise, 0, 1) ** 2 * (3 - 2 * np.clip(time / rise, 0, 1))
        wave = np.clip(1 + 0.08 * living.smooth_noise(rng, frames, 2.5) + accented, 0.7, 1.25)
        out[:, part] = (onset * wave)[:, None] * face[part]
    return np.clip(out, 0, 1)


def _relative(envelope: np.ndarray, intensity: float) -> np.ndarray:
    """The envelope (T,) scaled to end near the intensity: what the head's habits follow."""
    top = np.median(envelope)
    return envelope * (intensity / top) if top > 1e-6 else np.full(len(envelope), intensity)


def _mouth(
    tracks: dict[str, np.ndarray],
    shown: np.ndarray,
    speech: Prosody,
    gate: np.ndarray,
    entry: Look,
    speaker: visemes.Articulation,
) -> np.ndarray:
    """Speech and expression (T, 52) together: rounding beats the smile, speech beats the rest, closures beat all."""
    said = visemes.mouth_weights(tracks, speaker)
    kept = np.ones_like(shown)
    kept[:, mouth_columns()] = (1 - (1 - entry.speech_share) * speech.speaking)[:, None]
    for name in ("mouthSmile", "mouthStretch", "mouthDimple"):
        kept[:, visemes.both(name)] *= (1 - 0.7 * np.clip(tracks["round"] + tracks["funnel"], 0, 1))[:, None]
    for name in ("mouthPress", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "jawOpen"):
        kept[:, visemes.both(name)] *= (1 - 0.7 * speech.speaking)[:, None]
    kept[:, visemes.both("noseSneer")] *= (1 - 0.4 * speech.speaking)[:, None]
    weights = np.clip(said + kept * shown, 0, 1)
    weights = visemes.part(weights, 0.95 * visemes.gap_mm(said), speech.speaking * (1 - gate))
    return visemes.seal(weights, gate, speaker)


def close_lids(weights: np.ndarray, closure: np.ndarray) -> np.ndarray:
    """Add blinks (T, 2) to weights (T, 52): the lids just meet, whatever squint, gaze or wide eyes are there."""
    out = weights.copy()
    for side, closed in zip(("Left", "Right"), closure.T, strict=True):
        column = {name: ARKIT_INDEX[name + side] for name in _EYE_MM}
        out[:, column["eyeWide"]] *= 1 - closed
        blink = out[:, column["eyeBlink"]]
        opening = _EYE_REST_MM + sum(mm * out[:, column[n]] for n, mm in _EYE_MM.items() if n != "eyeBlink")
        meet = np.clip((opening - _EYE_CLOSED_MM) / -_EYE_MM["eyeBlink"], 0, 1)
        out[:, column["eyeBlink"]] = np.minimum(blink, meet) * (1 - closed) + meet * closed
    return out


def noise_audio(kind: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Sound (n,) float32 at 16 kHz in which nobody speaks: one of `NOISES`, at a level of -55 to -10 dB.

    Raises:
        ConfigError: for an unknown kind.
    """
    n = int(seconds * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    white = rng.normal(size=n)
    if kind in ("silence", "white"):
        sound = white
    elif kind == "pink":
        spectrum = np.fft.rfft(white)
        spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0.4, 1.0)
        sound = np.fft.irfft(spectrum, n)
    elif kind == "hum":
        base = rng.uniform(45, 180)
        sound = sum(rng.random() / k * np.sin(2 * np.pi * k * base * time + 6.28 * rng.random()) for k in range(1, 9))
    elif kind == "music":
        sound = np.zeros(n)
        root, beat = rng.uniform(110, 330), rng.uniform(0.18, 0.5)
        for start in np.arange(0, seconds, beat):
            decay = np.where(time >= start, np.exp(-(time - start) * rng.uniform(2, 8)), 0)
            for step in rng.choice([0, 2, 4, 5, 7, 9, 12], size=rng.integers(1, 4), replace=False):
                pitch = root * 2 ** (step / 12)
                sound += decay * sum(np.sin(2 * np.pi * k * pitch * (time - start)) / k**1.5 for k in range(1, 6))
    elif kind == "knocks":
        sound = 0.01 * white
        for start in np.sort(rng.uniform(0, seconds, max(1, int(1.5 * seconds)))):
            sound += np.where(time >= start, np.exp(-(time - start) * rng.uniform(20, 80)), 0) * rng.normal(size=n)
    else:
        raise ConfigError(f"expected a noise of {', '.join(NOISES)}, got {kind!r}")
    level = rng.uniform(-75, -55) if kind == "silence" else rng.uniform(-45, -12)
    sound = sound / max(np.sqrt(np.mean(sound**2)), 1e-9) * 10 ** (level / 20)
    return np.clip(sound, -1, 1).astype(np.float32)


def draw_style(rng: np.random.Generator) -> tuple[str, float]:
    """A style and its intensity as the corpus distributes them; neutral has intensity 0."""
    if rng.random() < NEUTRAL_SHARE:
        return "neutral", 0.0
    others = [s for s in LOOKS if s != "neutral"]
    return others[int(rng.integers(len(others)))], float(rng.uniform(*INTENSITIES))


def corpus_split(record: dict) -> str:
    """The corpus' own split; its held-out voices are halved into val and test."""
    if record.get("split", "train") == "train":
        return "train"
    return "test" if zlib.crc32(record["voice"].encode()) % 2 else "val"


def _known(phones: Sequence) -> list[tuple[float, float, str]]:
    bad = {p for *_, p in phones} - set(PHONES)
    if bad:
        raise InputError(f"expected phones of data.phones.PHONES, got {sorted(bad)[:5]}")
    return [(float(s), float(e), p) for s, e, p in phones if e > s]  # a clip cut short may end in an empty phone


def perform_file(json_path: Path, out: Path, take: int, seed: int) -> float:
    """Perform one corpus clip into ``out/<voice>/<id>-<take>.npz`` unless it is there; returns its length in s."""
    path = out / json_path.parent.name / f"{json_path.stem}-{take}.npz"
    flac = json_path.with_suffix(".flac")
    if path.is_file():
        return soundfile.info(flac).duration
    record = json.loads(json_path.read_text())
    audio, rate = soundfile.read(flac, dtype="float32")
    if rate != SAMPLE_RATE or audio.ndim != 1:
        raise InputError(f"expected {SAMPLE_RATE} Hz mono in {flac}, got {rate} Hz, shape {audio.shape}")
    own = zlib.crc32(f"{seed}/{json_path.parent.name}/{path.stem}".encode())
    style, intensity = draw_style(np.random.default_rng([own, 99]))
    seconds = len(audio) / SAMPLE_RATE
    made = perform(_known(record["phones"]), seconds, audio, style, intensity, own)
    made.clip(record["voice"], corpus_split(record)).save(path, audio)
    return seconds


def perform_noise(number: int, out: Path, seed: int) -> float:
    """Perform a clip without speech into ``out/noise/<kind>-<number>.npz`` unless it is there; returns its length."""
    rng = np.random.default_rng([seed, 7, number])
    kind, seconds = NOISES[number % len(NOISES)], float(rng.uniform(3, 7))
    path = out / "noise" / f"{kind}-{number:05d}.npz"
    if not path.is_file():
        audio = noise_audio(kind, seconds, rng)
        style, intensity = draw_style(rng)
        made = perform([(0.0, seconds, "sil")], seconds, audio, style, intensity, int(rng.integers(2**31)))
        split = ("val", "test")[number % 2] if number % 20 >= 18 else "train"
        made.clip(f"noise-{kind}", split).save(path, audio)
    return seconds


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of synthetic speech with phone times")
    parser.add_argument("--out", type=Path, required=True, help="folder for the motion clips")
    parser.add_argument("--per-clip", type=int, default=1, help="performances of each clip")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    files = sorted(options.corpus.glob("*/*.json"))
    if not files:
        parser.error(f"no <voice>/<id>.json in {options.corpus}: make it with media2face.data.synthetic_speech")
    takes = [(f, k) for k in range(options.per_clip) for f in files]
    seconds = sum(perform_file(f, options.out, k, options.seed) for f, k in tqdm(takes, "speech", unit="clip"))
    count, quiet = 0, 0.0
    with tqdm(total=round(NOISE_SHARE * seconds), desc="noise", unit="s") as bar:
        while quiet < NOISE_SHARE * seconds:
            length = perform_noise(count, options.out, options.seed)
            count, quiet = count + 1, quiet + length
            bar.update(round(length))


if __name__ == "__main__":
    main()
