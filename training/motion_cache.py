"""Clips to what the denoiser trains on: states x = [z, theta] and frozen speech features, both at 30 fps.

    python -m media2face.training.motion_cache --clips CLIPS --out CACHE

The speech features come from the shipped streaming encoder, the latents from the shipped mapping M, the style
embeddings from the shipped text encoder: exactly what the engine will feed the trained model. A clip whose source knows
only the lips (FACEGOOD) borrows eyes, brows and head from a synthetic performance and is counted as synthetic there.
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from pathlib import Path

import numpy as np
import soundfile as sf
from tqdm import tqdm

from media2face.data.augment import Augmenter
from media2face.data.clips import MotionClip, iter_clips
from media2face.data.styles import STYLES, sample_prompt
from media2face.runtime.clock import interpolate_features
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.speech import SpeechEncoder
from media2face.runtime.style import StyleEncoder

INTENSITIES = (0.2, 0.4, 0.6, 0.8, 1.0)
PROMPTS = 24


def prompt_table(style: StyleEncoder, seed: int = 0) -> np.ndarray:
    """Embeddings of sampled prompts: (styles, intensities, PROMPTS, P), in the order of STYLES and INTENSITIES."""
    rng = np.random.default_rng(seed)

    def prompts(key: str, level: float) -> list[np.ndarray]:
        return [style.encode_text(sample_prompt(key, level, rng)).vector for _ in range(PROMPTS)]

    return np.array([[prompts(key, level) for level in INTENSITIES] for key in STYLES], np.float32)


def frame_features(encoder: SpeechEncoder, samples: np.ndarray, frames: int) -> np.ndarray:
    """Speech features at the times of ``frames`` frames, (frames, A) float16."""
    stream = encoder.stream()
    stream.accept_waveform(samples)
    stream.input_finished()
    first, features = stream.read()
    return interpolate_features(features, first, np.arange(frames)).astype(np.float16)


def complete(clip: MotionClip, donors: list[MotionClip], rng: np.random.Generator) -> MotionClip:
    """Fill what the clip's source does not know from a neutral synthetic performance of the same split."""
    if clip.weights_valid.all() and clip.head_valid:
        return clip
    pool = [d for d in donors if d.split == clip.split] or donors
    donor = pool[rng.integers(len(pool))]
    forth = np.arange(len(donor.weights))
    turn = np.resize(np.concatenate([forth, forth[::-1]]), len(clip.weights))
    clip.weights[:, ~clip.weights_valid] = donor.weights[turn][:, ~clip.weights_valid]
    if not clip.head_valid:
        clip.head_rotvec, clip.head_translation = donor.head_rotvec[turn], donor.head_translation[turn]
    return clip


def build(clips: Path, out: Path, noisy: float = 0.5, limit: int | None = None, seed: int = 0) -> None:
    """Write ``states.npy`` (N, D), ``features.npy`` (M, N, A) float16, ``prompts.npy`` and ``index.json``.

    Args:
        clips: folder of motion clips.
        out: folder of the cache.
        noisy: share of clips that get a second, augmented reading of their audio.
        limit: at most so many clips of each source.
        seed: of augmentation, prompts and borrowed upper faces.
    """
    encoder, decoder, style = SpeechEncoder(), FaceDecoder(), StyleEncoder()
    found = [(p, c) for p, c in iter_clips(clips) if c.has_audio]
    if limit:
        counts: dict[str, int] = {}
        kept = []
        for path, clip in found:
            counts[clip.source] = counts.get(clip.source, 0) + 1
            if counts[clip.source] <= limit:
                kept.append((path, clip))
        found = kept
    donors = [c for _, c in found if c.source == "synthetic" and c.style == "neutral"]
    out.mkdir(parents=True, exist_ok=True)
    states, features, noised, index = [], [], [], []
    start = 0
    for path, clip in tqdm(found, unit="clip", desc="speech features"):
        rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode())])
        clip = complete(clip, donors, rng)
        samples, _ = sf.read(path.with_suffix(".flac"), dtype="float32")
        frames = len(clip.weights)
        z = decoder.latents(clip.weights)
        states.append(np.concatenate([z, clip.head_rotvec, clip.head_translation], axis=1).astype(np.float32))
        features.append(frame_features(encoder, samples, frames))
        if rng.random() < noisy and clip.split == "train":
            samples = Augmenter(seed=int(rng.integers(2**31)), time_preserving=True)(samples)
            noised.append(frame_features(encoder, samples, frames))
        else:
            noised.append(features[-1])
        index.append(
            {"id": path.stem, "start": start, "frames": frames, "source": clip.source, "split": clip.split,
             "style": clip.style, "intensity": float(clip.intensity)}
        )  # fmt: skip
        start += frames
    np.save(out / "states.npy", np.concatenate(states))
    np.save(out / "features.npy", np.stack([np.concatenate(features), np.concatenate(noised)]))
    np.save(out / "prompts.npy", prompt_table(style, seed))
    rest = np.concatenate([decoder.latents(np.zeros((1, 52), np.float32))[0], np.zeros(6, np.float32)])
    record = {
        "speech": encoder.fingerprint,
        "style": style.fingerprint,
        "decoder": decoder.fingerprint,
        "styles": list(STYLES),
        "rest": rest.tolist(),
        "neutral_style": style.encode_text("").vector.tolist(),
        "clips": index,
    }
    partial = out / "index.json.part"
    partial.write_text(json.dumps(record))
    os.replace(partial, out / "index.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of motion clips (npz and flac)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--noisy", type=float, default=0.5, help="share of clips read a second time, augmented")
    parser.add_argument("--limit", type=int, help="at most so many clips of each source")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    build(options.clips, options.out, options.noisy, options.limit, options.seed)


if __name__ == "__main__":
    main()
