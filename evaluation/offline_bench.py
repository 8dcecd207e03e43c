"""How fast the engine runs when nothing waits for real time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from media2face.runtime.engine import EngineModels
from media2face.runtime.motion import SamplerConfig
from media2face.runtime.offline import animate


def percentiles(values: np.ndarray | list[float]) -> dict[str, float]:
    """p50, p95 and p99, rounded to a hundredth."""
    p50, p95, p99 = np.percentile(np.asarray(values, np.float64), [50, 95, 99])
    return {"p50": round(p50, 2), "p95": round(p95, 2), "p99": round(p99, 2)}


def bench_offline(models: EngineModels, speech: Path, config: SamplerConfig, runs: int = 3) -> dict[str, float]:
    """Speech file to 52 weights and head pose, every stage included; the median of ``runs`` after one warm-up."""
    frames, seconds = 0, []
    for run in range(runs + 1):
        began = time.perf_counter()
        frames = len(animate(speech, models=models, config=config).weights)
        if run:
            seconds.append(time.perf_counter() - began)
    return {"offline_fps": round(frames / float(np.median(seconds)), 1), "offline_frames": frames}


def bench_decode(models: EngineModels, batch: int = 64, seconds: float = 3.0) -> dict[str, float]:
    """GNPFA decoding alone: latents to 52 weights and mesh, after one warm-up."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 0.3, (batch, 52)).astype(np.float32)
    latents = models.decoder.latents(weights)
    models.decoder.mesh(latents)
    began, count, rounds = time.perf_counter(), 0, []
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        models.decoder.weights(latents)
        models.decoder.mesh(latents)
        rounds.append(time.perf_counter() - start)
        count += batch
    return {"decode_fps": round(batch / float(np.median(rounds)), 1), "decode_batch": batch}


def bench_stages(models: EngineModels, config: SamplerConfig, repeats: int = 30) -> dict[str, float]:
    """Milliseconds of each stage for two frames (67 ms of speech), median after warm-up."""
    rng = np.random.default_rng(0)
    speech, sampler = models.speech.stream(), models.sampler.stream(0, config)
    noise = (0.05 * rng.standard_normal(16_000 * 2)).astype(np.float32)
    times: dict[str, list[float]] = {"speech_ms": [], "sampler_ms": [], "decoder_ms": []}
    for i in range(repeats + 10):
        start = time.perf_counter()
        speech.accept_waveform(np.resize(np.roll(noise, 97 * i), 1067))
        first, features = speech.read()
        heard = time.perf_counter()
        if len(features):
            sampler.accept_features(first, features)
        motion = sampler.frames_ready()
        moved = time.perf_counter()
        if motion:
            models.decoder.weights(np.stack([m.latent for m in motion]))
        done = time.perf_counter()
        if i >= 10:
            times["speech_ms"].append(heard - start)
            times["sampler_ms"].append(moved - heard)
            times["decoder_ms"].append(done - moved)
    return {k: round(1e3 * float(np.median(v)), 2) for k, v in times.items()}
