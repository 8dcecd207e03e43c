"""Clips to what the denoiser trains on: states x = [z, theta] and frozen speech features, both at 30 fps.

    python -m media2face.training.motion_cache --clips CLIPS --out CACHE
    python -m media2face.training.motion_cache --clips CLIPS --out CACHE --weights FOLDER   # other encoders

CLIPS is a dataset built by ``media2face data build``, or a folder of motion clips.

The speech features come from the shipped streaming encoder, the latents from the shipped mapping M, the style
embeddings from the shipped text encoder: exactly what the engine will feed the trained model. With ``--weights`` the
encoders of that folder are used, such as a published Wav2Vec2 or CLIP (docs/encoders.md). A clip whose source knows
only the lips (FACEGOOD) borrows eyes, brows and head from a synthetic performance and is counted as synthetic there.
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from media2face.data.augment import AugmentConfig, SpeechAugmenter
from media2face.data.clips import MotionClip
from media2face.data.dataset import Entry, MotionDataset
from media2face.data.styles import STYLES, captions
from media2face.onnx_export.shipped import phone_head
from media2face.runtime.clock import interpolate_features
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.feature_stream import FeatureEncoder
from media2face.runtime.speech_window import load_speech_encoder
from media2face.runtime.style import StyleEncoder

LONGEST = 160_000  # samples of the augmenter's clips


def prompt_table(style: StyleEncoder, seed: int = 0) -> np.ndarray:
    """Embeddings of ``data.styles.captions``, (styles, intensities, captions of each, P)."""
    return np.array(
        [[[style.encode_text(t).vector for t in texts] for texts in levels] for levels in captions(seed)], np.float32
    )


def frame_features(encoder: FeatureEncoder, samples: np.ndarray, frames: int) -> np.ndarray:
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


@lru_cache(maxsize=1)
def _networks(weights: Path | None) -> tuple[FeatureEncoder, FaceDecoder]:
    return load_speech_encoder(weights), FaceDecoder(weights)


@lru_cache(maxsize=1)
def _augmenter() -> SpeechAugmenter:
    return SpeechAugmenter(LONGEST, AugmentConfig(clean=0.0))


def disturb(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same speech in another room, noise or microphone; its timing stays. At most ten seconds."""
    kept = samples[:LONGEST]
    return _augmenter()(np.pad(kept, (0, LONGEST - len(kept))), rng)[: len(kept)]


def convert(job: tuple[Entry, MotionClip, float, int, Path | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """One clip: states (T, D) float32, features (T, A) float16, and those of the augmented audio or None."""
    entry, clip, noisy, seed, weights = job
    encoder, decoder = _networks(weights)
    rng = np.random.default_rng([seed, zlib.crc32(entry.name.encode())])
    samples = entry.audio()
    frames = len(clip.weights)
    z = decoder.latents(clip.weights)
    states = np.concatenate([z, clip.head_rotvec, clip.head_translation], axis=1).astype(np.float32)
    clean = frame_features(encoder, samples, frames)
    if clip.split != "train" or len(samples) > LONGEST or rng.random() >= noisy:
        return states, clean, None
    return states, clean, frame_features(encoder, disturb(samples, rng), frames)


def build(
    clips: Path, out: Path, noisy: float = 0.5, limit: int | None = None, jobs: int = 1, seed: int = 0,
    weights: Path | None = None,
) -> None:  # fmt: skip
    """Write ``states.npy`` (N, D), ``features.npy`` (2, N, A) float16, ``prompts.npy`` and ``index.json``.

    An encoder that has a phone head gives ``phone_head.npz`` as well; a published one has none.

    Args:
        clips: a built dataset or a folder of motion clips.
        out: folder of the cache.
        noisy: share of training clips whose second reading is of augmented audio (the others' is the first again).
        limit: at most so many clips of each source.
        jobs: processes.
        seed: of augmentation, prompts and borrowed upper faces.
        weights: folder of the encoders and of M; None is the shipped one.
    """
    encoder, decoder = _networks(weights)
    style = StyleEncoder(weights)
    found: list[tuple[Entry, MotionClip]] = []
    counts: dict[str, int] = {}
    for entry in MotionDataset.open(clips):
        counts[entry.source] = counts.get(entry.source, 0) + 1
        if entry.has_audio and (limit is None or counts[entry.source] <= limit):
            found.append((entry, entry.clip()))
    donors = [c for _, c in found if c.source == "synthetic" and c.style == "neutral"]
    rng = np.random.default_rng(seed)
    work = [(entry, complete(clip, donors, rng), noisy, seed, weights) for entry, clip in found]
    out.mkdir(parents=True, exist_ok=True)
    with get_context("spawn").Pool(jobs) as pool:
        done = list(tqdm(pool.imap(convert, work, chunksize=8), total=len(work), unit="clip", desc="speech features"))
    np.save(out / "states.npy", np.concatenate([d[0] for d in done]))
    second = [d[1] if d[2] is None else d[2] for d in done]
    np.save(out / "features.npy", np.stack([np.concatenate([d[1] for d in done]), np.concatenate(second)]))
    np.save(out / "prompts.npy", prompt_table(style, seed))
    if encoder.phones:
        np.savez(out / "phone_head.npz", **dict(zip(("weight", "bias"), phone_head(weights), strict=True)))
    starts = np.concatenate([[0], np.cumsum([len(d[0]) for d in done])])
    index = [
        {"id": entry.name, "start": int(start), "frames": len(clip.weights), "source": clip.source,
         "split": clip.split, "style": clip.style, "intensity": float(clip.intensity)}
        for (entry, clip), start in zip(found, starts[:-1], strict=True)
    ]  # fmt: skip
    rest = np.concatenate([decoder.latents(np.zeros((1, 52), np.float32))[0], np.zeros(6, np.float32)])
    record = {
        "speech": encoder.fingerprint,
        "style": style.fingerprint,
        "decoder": decoder.fingerprint,
        "phones": len(encoder.phones),
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
    parser.add_argument("--clips", type=Path, required=True, help="a dataset, or a folder of motion clips")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cache")
    parser.add_argument("--noisy", type=float, default=0.5, help="share of clips read a second time, augmented")
    parser.add_argument("--limit", type=int, help="at most so many clips of each source")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="folder of the encoders (default: the shipped ones)")
    options = parser.parse_args()
    build(options.clips, options.out, options.noisy, options.limit, options.jobs, options.seed, options.weights)


if __name__ == "__main__":
    main()
