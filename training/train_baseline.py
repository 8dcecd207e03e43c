"""Train what Media2Face is compared with, on the same cache, network, losses and processor time.

    python -m media2face.training.train_baseline --cache CACHE --out RUN --space z --objective regression

``--space`` is what a frame's state holds beside the head pose, ``--objective`` how it is predicted, ``--share`` how
much of the training clips is used; see ``models/baselines/README.md`` for the rows of the paper's table 2 they make.
Training is bounded by the processor time of this process (``--minutes``), so that runs on a shared machine compare; it
resumes from the checkpoint in ``--out``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from media2face.models.baselines.config import OBJECTIVES, SPACES, BaselineConfig
from media2face.models.media2face.config import CONFIGS, DenoiserConfig
from media2face.models.media2face.losses import denoiser_loss, masked_mean
from media2face.models.media2face.network import Denoiser
from media2face.runtime.schedulers import cosine_alphas
from media2face.training import checkpoint
from media2face.training.baseline_spaces import SpaceLips, states_in
from media2face.training.train_media2face import SHARES, TrainSettings, Windows, noise_times

CHECKPOINT_S = 90


class SpaceWindows(Windows):
    """The cache's windows with their states in another space, and of only a share of the clips.

    Args:
        cache, split: see :class:`Windows`.
        baseline: which space and share.
        data_folder: folder with the ICT rig.
    """

    def __init__(self, cache: Path, split: str, baseline: BaselineConfig, data_folder: Path) -> None:
        super().__init__(cache, split, SHARES)
        if baseline.share < 1.0 and split == "train":
            self._keep(baseline.share)
        if baseline.space != "z":
            self.states = states_in(baseline.space, np.asarray(self.states), data_folder)
            self.rest = states_in(baseline.space, self.rest[None], data_folder)[0]

    def _keep(self, share: float) -> None:
        """Leave only the first ``share`` of each source's frames, in an order that a larger share goes on with."""
        order = np.random.default_rng(0).permutation(len(self.clips))
        total: dict[str, int] = {}
        for clip in self.clips:
            total[clip["source"]] = total.get(clip["source"], 0) + clip["frames"]
        used = dict.fromkeys(total, 0)
        kept = np.zeros(len(self.clips), bool)
        for i in order:
            source = self.clips[i]["source"]
            kept[i] = used[source] < share * total[source]
            used[source] += self.clips[i]["frames"]
        self.clips = [c for c, k in zip(self.clips, kept, strict=True) if k]
        self.chances = self.chances[kept] / self.chances[kept].sum()


def train(
    cache: Path, out: Path, data_folder: Path, config: DenoiserConfig, baseline: BaselineConfig,
    settings: TrainSettings,
) -> Denoiser:  # fmt: skip
    """Train until the processor time is spent; returns the averaged network."""
    rng = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    data = SpaceWindows(cache, "train", baseline, data_folder)
    held_out = SpaceWindows(cache, "val", baseline, data_folder)
    mean, std = (torch.from_numpy(a.astype(np.float32)) for a in data.statistics())
    config = replace(config, latent_dim=len(mean) - config.pose_dim)
    if baseline.objective == "regression":  # a regressor always hears its conditions
        config = replace(config, drop_style=0.0, drop_all=0.0)
    alphas = torch.from_numpy(cosine_alphas(config.train_steps)).float()
    lips = SpaceLips(baseline.space, mean, std, data_folder)

    network = Denoiser(config)
    if config.phones:
        head = np.load(cache / "phone_head.npz")
        network.audio_in.phone_head.load_state_dict({k: torch.from_numpy(head[k]) for k in ("weight", "bias")})
    average = checkpoint.Average(network)
    optimizer = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad], settings.rate, weight_decay=0.01
    )
    step, spent, path = 0, 0.0, out / "checkpoint.safetensors"
    if path.exists():
        progress = checkpoint.load(path, network, average, optimizer)
        step, spent = int(progress["step"]), progress["seconds"]
    out.mkdir(parents=True, exist_ok=True)
    record = {"config": asdict(config), "baseline": asdict(baseline), "mean": mean.tolist(), "std": std.tolist(),
              "rest": data.rest.tolist(), "settings": asdict(settings)}  # fmt: skip
    (out / "config.json").write_text(json.dumps(record))

    def losses(net: Denoiser, windows: Windows, generator: np.random.Generator, size: int) -> dict[str, Tensor]:
        states, audio, style = windows.batch(generator, size, config.window)
        clean = (states - mean) / std
        t, noised = noise_times(config, size, config.window, generator)
        fresh = noised.unsqueeze(-1)

        def noise() -> Tensor:
            return torch.from_numpy(generator.standard_normal(clean.shape, dtype=np.float32))

        # the past a stream holds is its own, imperfect output
        past = clean + torch.from_numpy(generator.uniform(0.0, 0.15, (size, 1, 1)).astype(np.float32)) * noise()
        if baseline.objective == "regression":
            t = config.train_steps * noised.long()
            x = (1 - fresh) * past
        else:
            level = alphas[t].unsqueeze(-1)
            x = fresh * (level.sqrt() * clean + (1 - level).sqrt() * noise()) + (1 - fresh) * past
        has_style = torch.from_numpy((generator.random(size) >= config.drop_style).astype(np.float32))
        has_audio = torch.from_numpy((generator.random(size) >= config.drop_all).astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            predicted = net(x, t, audio, style, has_audio, has_style)
        predicted = predicted.float()
        parts = denoiser_loss(config, clean, predicted, noised)
        parts["lips"] = masked_mean(lips.error(clean, predicted), noised * has_audio.unsqueeze(-1))
        parts["total"] = parts["total"] + config.weight_lips * parts["lips"]
        return parts

    def save() -> None:
        average.network.eval()
        with torch.no_grad():
            checks = [losses(average.network, held_out, np.random.default_rng(i), 16) for i in range(2)]
        values = {k: round(float(np.mean([float(c[k]) for c in checks])), 4) for k in checks[0]}
        tqdm.write(json.dumps({"step": step, "minutes": round(spent / 60, 2), "val": values}))
        checkpoint.save(path, network, average, optimizer, step=step, seconds=spent)

    limit = settings.minutes * 60
    network.train()
    bar = tqdm(total=round(limit), initial=round(spent), unit="s", desc=f"{baseline.objective} on {baseline.space}")
    saved, smooth = spent, 0.0
    while spent < limit:
        began = time.process_time()
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
        spent += time.process_time() - began
        smooth += 0.02 * (float(parts["total"]) - smooth) if step > 1 else float(parts["total"])
        if step % 50 == 0:
            bar.n = round(min(spent, limit))
            bar.set_postfix(step=step, total=f"{smooth:.3f}")
        if spent - saved > CHECKPOINT_S or spent >= limit:
            save()
            saved = spent
    bar.close()
    return average.network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder written by training.motion_cache")
    parser.add_argument("--out", type=Path, required=True, help="run folder: checkpoint and config")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the ICT rig")
    parser.add_argument("--config", choices=CONFIGS, default="edge")
    parser.add_argument("--space", choices=SPACES, default="z", help="what a state holds beside the head pose")
    parser.add_argument("--objective", choices=OBJECTIVES, default="diffusion")
    parser.add_argument("--share", type=float, default=1.0, help="of the training clips, 0 to 1")
    parser.add_argument("--minutes", type=float, default=8.0, help="of one core's processor time")
    parser.add_argument("--batch", type=int, default=TrainSettings.batch)
    parser.add_argument("--rate", type=float, default=TrainSettings.rate)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = json.loads((options.cache / "index.json").read_text())
    config = replace(
        CONFIGS[options.config](),
        style_dim=len(record["neutral_style"]),
        audio_dim=int(np.load(options.cache / "features.npy", mmap_mode="r").shape[-1]),
    )
    baseline = BaselineConfig(options.space, options.objective, options.share)
    settings = TrainSettings(options.minutes, options.batch, options.rate, seed=options.seed)
    train(options.cache, options.out, options.data, config, baseline, settings)


if __name__ == "__main__":
    main()
