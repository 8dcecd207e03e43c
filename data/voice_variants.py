"""Other throats for a speech corpus: pitch, formants, breath and tempo of its clips, each changed by itself.

    python -m media2face.data.voice_variants --corpus SPEECH --out VARIANTS --copies 1 --workers 2

WORLD (Morise, Yokomori, Ozawa 2016, `pyworld`) takes a clip apart into pitch, spectral envelope and aperiodicity and
puts it together with other ones, so that a few dozen synthetic voices become many: small throats and long ones, excited
and flat ones, breathy ones and whispers. Resampling alone moves all of these together. Writes
VARIANTS/<voice>/<id>~<copy>.flac with <id>~<copy>.json, whose phone times follow the new tempo; held-out voices (split
"val") have no variants. Clips that exist are kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyworld
import soundfile
from tqdm import tqdm

from media2face.data.files import whole_file
from media2face.data.speech_corpus import RATE, SpeechClip

log = logging.getLogger(__name__)
FRAME = 0.005  # s between WORLD's frames


@dataclass(frozen=True)
class VariantConfig:
    """Ranges that a variant is drawn from, evenly (in log where they are ratios)."""

    pitch: tuple[float, float] = (75.0, 350.0)  # Hz, the middle of the new voice
    pitch_ratio: float = 2.0  # the pitch moves by no more than this
    excursion: tuple[float, float] = (0.4, 2.2)  # of the melody about its middle
    formants: tuple[float, float] = (0.82, 1.24)  # all of them together: the length of the throat
    bend: float = 0.06  # each region of frequency by itself, +-
    breath: tuple[float, float] = (0.35, 1.5)  # exponent of the aperiodicity: below 1 breathes
    whisper: float = 0.03  # share of clips
    tempo: float = 0.35  # +-, of the logarithm; wanders through the clip
    emphasis_db: float = 6.0  # +-, wanders through the clip

    def __post_init__(self) -> None:
        for name in ("pitch", "excursion", "formants", "breath"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} is a range (low, high) above 0, got {low, high}")
        if not (self.pitch_ratio >= 1 and 0 <= self.bend < 0.3 and 0 <= self.whisper <= 1 and 0 <= self.tempo < 1):
            raise ValueError(f"pitch_ratio >= 1, bend in [0, 0.3), whisper in [0, 1], tempo in [0, 1) expected: {self}")


def _between(rng: np.random.Generator, span: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))


def _wander(rng: np.random.Generator, seconds: float, size: float, frames: int) -> np.ndarray:
    """(frames,) that move between random heights within +-size, about two a second."""
    knots = max(2, round(2 * seconds))
    return np.interp(np.linspace(0, knots - 1, frames), np.arange(knots), rng.uniform(-size, size, knots))


def warped_bins(rng: np.random.Generator, bins: int, config: VariantConfig) -> np.ndarray:
    """(bins,) places in the old envelope that the new one's bins are read from, growing."""
    knots = np.linspace(0, 1, 6)
    ratio = _between(rng, config.formants) * np.exp(rng.uniform(-config.bend, config.bend, len(knots)))
    ratio[-1] = ratio[-2]
    places = np.linspace(0, 1, bins) / np.interp(np.linspace(0, 1, bins), knots, ratio)
    return np.clip(np.maximum.accumulate(places), 0, 1) * (bins - 1)


def vary(
    samples: np.ndarray, bounds: np.ndarray, rng: np.random.Generator, config: VariantConfig | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One clip as another voice would have said it.

    Args:
        samples: (n,) in [-1, 1] at 16 kHz, at least 0.1 s.
        bounds: (m,) times in s, growing.

    Returns:
        samples (k,) float32 and the times (m,) of the same bounds in them.

    Raises:
        ValueError: for a clip shorter than 0.1 s.
    """
    if samples.ndim != 1 or len(samples) < RATE // 10:
        raise ValueError(f"expected (n,) samples of at least 0.1 s (1600), got shape {samples.shape}")
    config = config or VariantConfig()
    x = samples.astype(np.float64)
    pitch, times = pyworld.dio(x, RATE, frame_period=1000 * FRAME)
    pitch = pyworld.stonemask(x, pitch, times, RATE)
    envelope = np.log(pyworld.cheaptrick(x, pitch, times, RATE) + 1e-16)
    breath = pyworld.d4c(x, pitch, times, RATE)
    # tempo: the frame that each new frame is read from
    steps = np.exp(_wander(rng, len(x) / RATE, config.tempo, len(times)))
    clock = np.concatenate([[0.0], np.cumsum(steps)])  # new frames that old frame i begins at
    source = np.clip(np.interp(np.arange(int(clock[-1])), clock, np.arange(len(clock))), 0, len(times) - 1)
    near = np.round(source).astype(int)
    pitch, envelope, breath = pitch[near], envelope[near], breath[near]
    # pitch
    voiced = pitch > 0
    if voiced.any():
        height = np.log(pitch[voiced])
        middle = np.median(height)
        farthest = np.log(config.pitch_ratio)
        move = np.clip(np.log(_between(rng, config.pitch)) - middle, -farthest, farthest)
        pitch[voiced] = np.clip(np.exp(middle + move + _between(rng, config.excursion) * (height - middle)), 55, 600)
    if rng.random() < config.whisper:
        pitch[:] = 0
    # throat
    place = warped_bins(rng, envelope.shape[1], config)
    left = np.minimum(place.astype(int), envelope.shape[1] - 2)
    part = place - left
    envelope = envelope[:, left] * (1 - part) + envelope[:, left + 1] * part
    breath = np.clip(breath[:, left], 1e-6, 1 - 1e-9) ** _between(rng, config.breath)
    emphasis = _wander(rng, len(near) * FRAME, config.emphasis_db, len(near)) * (np.log(10) / 10)
    power = np.exp(envelope + emphasis[:, None])
    made = pyworld.synthesize(pitch, np.ascontiguousarray(power), np.ascontiguousarray(breath), RATE, 1000 * FRAME)
    made *= min(1.0, 0.98 / (np.abs(made).max() + 1e-9))
    return made.astype(np.float32), np.interp(np.asarray(bounds) / FRAME, np.arange(len(clock)), clock) * FRAME


def write_variants(record_path: Path, out: Path, copies: int, seed: int) -> int:
    """Write the variants of one clip that `out` lacks; returns how many were written."""
    record, written = json.loads(record_path.read_text()), 0
    if record["split"] != "train" or len(record["phones"]) < 2:
        return 0
    for copy in range(copies):
        target = out / record["voice"] / f"{record_path.stem}~{copy}.json"
        if target.exists():
            continue
        clip = SpeechClip.read(record_path, record)
        rng = np.random.default_rng([seed, copy, *record_path.stem.encode()])
        made, moved = vary(clip.samples.astype(np.float32) / 32768, clip.bounds, rng)
        with whole_file(target.with_suffix(".flac")) as file:
            soundfile.write(file, made, RATE, format="FLAC", subtype="PCM_16")
        phones = [
            [round(float(a), 4), round(float(b), 4), p]
            for a, b, (_, _, p) in zip(moved[:-1], moved[1:], record["phones"], strict=True)
        ]
        with whole_file(target) as file:
            file.write(json.dumps(record | {"phones": phones}, ensure_ascii=False).encode())
        written += 1
    return written


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder made by media2face.data.synthetic_speech")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=1, help="variants of each clip (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    records = sorted(options.corpus.glob("*/*.json"))
    if not records:
        parser.error(f"no clips in {options.corpus}: make them with python -m media2face.data.synthetic_speech")
    records = [records[i] for i in np.random.default_rng(options.seed).permutation(len(records))]
    work = partial(write_variants, out=options.out, copies=options.copies, seed=options.seed)
    with ProcessPoolExecutor(options.workers) as pool:
        written = sum(tqdm(pool.map(work, records, chunksize=4), total=len(records), unit="clip"))
    log.info("%d variants written to %s", written, options.out)


if __name__ == "__main__":
    main()
