"""Train the Media2Face denoiser on cached motion.

    python -m media2face.training.train_media2face --cache CACHE --config edge --minutes 40 --out RUN

Training is bounded by time, not by steps: the learning rate follows a cosine over ``--minutes``. It resumes from the
last checkpoint of ``--out`` (written every three minutes) and keeps an exponential moving average, which is exported.
The network runs in bfloat16 autocast (2.5 times faster than float32 on an AVX-512 core), the losses in float32.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from media2face.evaluation.lips import lip_rig
from media2face.models.media2face.config import CONFIGS, DenoiserConfig
from media2face.models.media2face.losses import denoiser_loss, masked_mean
from media2face.models.media2face.network import Denoiser
from media2face.onnx_export.media2face import load_run
from media2face.runtime.schedulers import cosine_alphas
from media2face.training import checkpoint
from media2face.training.lip_loss import LipReader

SHARES = {"synthetic": 0.8, "grid": 0.12, "facegood": 0.08}
PAST = 32


@dataclass
class TrainSettings:
    """What is not part of the network.

    Raises:
        ValueError: if a number is not positive.
    """

    minutes: float = 40.0
    batch: int = 8
    rate: float = 6e-4
    warmup: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("minutes", "batch", "rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


class Windows:
    """Random windows of cached clips, as the engine will see them: at rest, with held features, before frame 0."""

    def __init__(self, cache: Path, split: str, shares: dict[str, float]) -> None:
        self.record = json.loads((cache / "index.json").read_text())
        self.states = np.load(cache / "states.npy", mmap_mode="r")
        self.features = np.load(cache / "features.npy", mmap_mode="r")
        self.prompts = np.load(cache / "prompts.npy")
        self.rest = np.array(self.record["rest"], np.float32)
        self.clips = [c for c in self.record["clips"] if c["split"] == split]
        if not self.clips:
            raise ValueError(f"{cache} holds no clips of split {split!r}")
        frames = {s: sum(c["frames"] for c in self.clips if c["source"] == s) for s in shares}
        chances = [shares.get(c["source"], 0.0) * c["frames"] / max(frames.get(c["source"], 1), 1) for c in self.clips]
        self.chances = np.array(chances) / np.sum(chances)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (D,) of the training states; near-constant dimensions get a floor."""
        rows = np.concatenate([self.states[c["start"] : c["start"] + c["frames"]] for c in self.clips])
        std = rows.std(axis=0)
        return rows.mean(axis=0), np.maximum(std, 0.1 * np.median(std[:-6])) if len(std) > 6 else std

    def window(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """States (length, D), features (length, A) and a prompt embedding (P,) of one random window."""
        clip = self.clips[rng.choice(len(self.clips), p=self.chances)]
        first = int(rng.integers(-PAST, max(clip["frames"] - length, -PAST) + 1))
        place = np.arange(first, first + length)
        rows = clip["start"] + np.clip(place, 0, clip["frames"] - 1)
        low, high = rows.min(), rows.max() + 1
        states = np.array(self.states[low:high])[rows - low]
        states[place < 0] = self.rest
        reading = int(rng.integers(2))
        features = np.asarray(self.features[reading, low:high], np.float32)[rows - low]
        style = self.record["styles"].index(clip["style"])
        level = int(np.clip(np.round(clip["intensity"] * self.prompts.shape[1]) - 1, 0, self.prompts.shape[1] - 1))
        if clip["style"] == "neutral" and rng.random() < 0.5:
            prompt = np.array(self.record["neutral_style"], np.float32)
        else:
            prompt = self.prompts[style, level, rng.integers(self.prompts.shape[2])]
        return states, features, prompt

    def batch(self, rng: np.random.Generator, size: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = [self.window(rng, length) for _ in range(size)]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))


def noise_times(config: DenoiserConfig, size: int, length: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Which frames are noised and how much: times (B, T) and mask (B, T).

    Half of the windows end in a few noised frames, as a stream's do; others are noised from a random frame on, or
    wholly. Noised frames share one time; a quarter start from pure noise, where few-step sampling begins.
    """
    kind = rng.random(size)
    start = np.where(kind < 0.15, 0, rng.integers(0, length - 4, size))
    start = np.where(kind > 0.6, length - rng.integers(4, 13, size), start)
    t = rng.integers(1, config.train_steps + 1, size)
    t = np.where(rng.random(size) < 0.25, config.train_steps, t)
    noised = np.arange(length)[None] >= start[:, None]
    return torch.from_numpy(noised * t[:, None]), torch.from_numpy(noised.astype(np.float32))


def train(
    cache: Path, out: Path, data_folder: Path, config: DenoiserConfig, settings: TrainSettings,
    start: Path | None = None,
) -> Denoiser:  # fmt: skip
    """Train until the time is over, from scratch or from the run ``start``; returns the averaged network."""
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    data, held_out = Windows(cache, "train", SHARES), Windows(cache, "val", SHARES)
    mean, std = (torch.from_numpy(a.astype(np.float32)) for a in data.statistics())
    alphas = torch.from_numpy(cosine_alphas(config.train_steps)).float()
    lips = LipReader(mean, std, config.latent_dim, lip_rig(data_folder))

    network = load_run(start)[0].requires_grad_(True).train() if start else Denoiser(config)
    if config.phones:
        head = np.load(cache / "phone_head.npz")
        network.audio_in.phone_head.load_state_dict({k: torch.from_numpy(head[k]) for k in ("weight", "bias")})
    average = checkpoint.Average(network)
    network.train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, settings.rate, weight_decay=0.01)
    step, spent = 0, 0.0
    path = out / "checkpoint.safetensors"
    if path.exists():
        progress = checkpoint.load(path, network, average, optimizer)
        step, spent = int(progress["step"]), progress["seconds"]
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(
        json.dumps({"config": asdict(config), "mean": mean.tolist(), "std": std.tolist(), "settings": asdict(settings)})
    )
    writer = SummaryWriter(str(out / "tensorboard"))

    def losses(net: Denoiser, windows: Windows, generator: np.random.Generator, size: int) -> dict[str, Tensor]:
        states, audio, style = windows.batch(generator, size, config.window)
        clean = (states - mean) / std
        t, noised = noise_times(config, size, config.window, generator)
        level = alphas[t].unsqueeze(-1)
        noise = torch.from_numpy(generator.standard_normal(clean.shape, dtype=np.float32))
        x = level.sqrt() * clean + (1 - level).sqrt() * noise
        # the past a stream holds is its own, imperfect output
        slip = torch.from_numpy(generator.uniform(0.0, 0.15, (size, 1, 1)).astype(np.float32))
        x = x + (1 - noised).unsqueeze(-1) * slip * torch.from_numpy(
            generator.standard_normal(clean.shape, dtype=np.float32)
        )
        has_style = torch.from_numpy((generator.random(size) >= config.drop_style).astype(np.float32))
        has_audio = torch.from_numpy((generator.random(size) >= config.drop_all).astype(np.float32))
        with torch.autocast(clean.device.type, torch.bfloat16):
            predicted = net(x, t, audio, style, has_audio, has_style)
        predicted = predicted.float()
        parts = denoiser_loss(config, clean, predicted, noised)
        parts["lips"] = masked_mean(lips.error(clean, predicted), noised * has_audio.unsqueeze(-1))
        parts["total"] = parts["total"] + config.weight_lips * parts["lips"]
        return parts

    limit = settings.minutes * 60
    average.network.eval()
    bar = tqdm(total=round(limit), initial=round(spent), unit="s", desc="denoiser")
    began, saved = time.monotonic() - spent, time.monotonic()
    smooth: dict[str, float] = {}
    while spent < limit:
        rate = settings.rate * min(1.0, (step + 1) / settings.warmup)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(spent / limit, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = losses(network, data, rng, settings.batch)
        optimizer.zero_grad(set_to_none=True)
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.update(network, step)
        step += 1
        spent = time.monotonic() - began
        for key, value in parts.items():
            smooth[key] = 0.98 * smooth.get(key, float(value)) + 0.02 * float(value)
        if step % 50 == 0:
            bar.n = round(min(spent, limit))
            bar.set_postfix(step=step, **{k: f"{v:.3f}" for k, v in smooth.items()})
            for key, value in smooth.items():
                writer.add_scalar(f"train/{key}", value, step)
        if time.monotonic() - saved > 180 or spent >= limit:
            with torch.no_grad():
                checks = [losses(average.network, held_out, np.random.default_rng(i), 16) for i in range(4)]
            for key in checks[0]:
                writer.add_scalar(f"val/{key}", float(np.mean([float(c[key]) for c in checks])), step)
            values = {k: round(float(np.mean([float(c[k]) for c in checks])), 4) for k in checks[0]}
            tqdm.write(json.dumps({"step": step, "minutes": round(spent / 60, 1), "val": values}))
            checkpoint.save(path, network, average, optimizer, step=step, seconds=spent)
            saved = time.monotonic()
    bar.close()
    writer.close()
    return average.network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder written by training.motion_cache")
    parser.add_argument("--out", type=Path, required=True, help="run folder: checkpoint, config, TensorBoard curves")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the ICT rig")
    parser.add_argument("--start-from", type=Path, metavar="RUN", help="start from the averaged network of another run")
    parser.add_argument("--config", choices=CONFIGS, default="edge")
    parser.add_argument("--minutes", type=float, default=TrainSettings.minutes)
    parser.add_argument("--batch", type=int, default=TrainSettings.batch)
    parser.add_argument("--rate", type=float, default=TrainSettings.rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    record = json.loads((options.cache / "index.json").read_text())
    config = replace(
        CONFIGS[options.config](),
        latent_dim=len(record["rest"]) - 6,
        style_dim=len(record["neutral_style"]),
        audio_dim=int(np.load(options.cache / "features.npy", mmap_mode="r").shape[-1]),
    )
    settings = TrainSettings(options.minutes, options.batch, options.rate, seed=options.seed)
    train(options.cache, options.out, options.data, config, settings, options.start_from)


if __name__ == "__main__":
    main()
