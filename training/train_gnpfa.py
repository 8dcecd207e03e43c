"""Train GNPFA on random identities and expressions of the ICT rig.

    python -m media2face.training.train_gnpfa --data ../shared/data --config edge --minutes 25 --out RUN
    python -m media2face.training.train_gnpfa ... --mappings RUN        # take M and M' of another run, frozen

Half of each batch stands for the paper's scans (R: range-of-motion frames, reconstructed through E_geo, equation 1),
half for its artificial expressions (B: random blendshapes, reconstructed through M, equation 2). Bounded by time, with
a cosine learning rate over ``--minutes``; resumes from the last checkpoint of ``--out``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from adabelief_pytorch import AdaBelief
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from media2face.data.expressions import ExpressionSampler, personal_amplitude
from media2face.data.geometry_maps import FaceAtlas
from media2face.data.rig import PARTS, ICTRig
from media2face.models.gnpfa.config import CONFIGS, GNPFAConfig
from media2face.models.gnpfa.losses import kl, latent_axes, reconstruction
from media2face.models.gnpfa.networks import GNPFA
from media2face.training import checkpoint

CHECKPOINT_S = 180.0
IDENTITY_LIMIT = 2.5
WARMUP = 100
SLOW = 0.03  # learning rate of what starts from the rig's linear model, relative to the networks


class FaceMaps:
    """Shapes and identities of the rig as maps, and random faces made of them."""

    def __init__(self, folder: Path, cfg: GNPFAConfig, split: str = "train", seed: int = 0) -> None:
        self.rig = ICTRig.load(folder)
        self.atlas = FaceAtlas.build(self.rig, cfg.height, cfg.width)
        charted = self.atlas.charted
        self.offsets = torch.from_numpy(self.atlas.to_map(self.rig.deltas[:, charted]))
        self.identities = torch.from_numpy(self.atlas.to_map(self.rig.identity[:, charted].astype(np.float32)))
        self.texel_weight = torch.from_numpy(self.atlas.texel_weight)
        self.faces = ExpressionSampler(folder, split, seed)
        self.rng = np.random.default_rng(seed + 1)

    def draw(self, n: int, source: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (n, K), neutrals (n, 3, H, W) as differences from the mean identity, offsets (n, 3, H, W), cm."""
        weights = torch.from_numpy(self.faces.sample(n, source))
        identity = np.clip(self.rng.normal(size=(n, len(self.identities))), -IDENTITY_LIMIT, IDENTITY_LIMIT)
        identity[self.rng.random(n) < 0.2] = 0.0
        shown = weights * torch.from_numpy(personal_amplitude(self.rig, identity))
        neutral = torch.tensordot(torch.from_numpy(identity).float(), self.identities, dims=1)
        return weights, neutral, torch.tensordot(shown, self.offsets, dims=1)

    def latent_axes(self, cfg: GNPFAConfig, faces: int = 20_000) -> Tensor:
        """Start of M: (D, K), from how far shapes move the face (eyeballs and tongue too) and realistic weights."""
        pick = np.concatenate([self.atlas.charted, np.arange(*PARTS["eyeballs"])])
        moves = self.rig.vertices(np.eye(cfg.shapes, dtype=np.float32), subset=pick) - self.rig.neutral[pick]
        moves[:, : len(self.atlas.importance)] *= np.sqrt(self.atlas.importance)[:, None]
        flat = torch.from_numpy(moves.reshape(cfg.shapes, -1)).double()
        covariance = torch.from_numpy(np.cov(self.faces.sample(faces).T)).double()
        return latent_axes(flat @ flat.T, covariance, cfg.latent_dim).float()


def losses(model: GNPFA, maps: FaceMaps, cfg: GNPFAConfig) -> tuple[Tensor, dict[str, float]]:
    """One batch through equations 1 and 2; the total and its parts."""
    half = cfg.batch // 2
    real, made = maps.draw(half, "range_of_motion"), maps.draw(cfg.batch - half)
    weights, neutral, offset = (torch.cat(pair) for pair in zip(real, made, strict=True))
    mean, log_variance = model.encoder(offset, neutral)
    sampled = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    mapped = model.to_latent(weights[half:])
    rebuilt = model.generator(neutral, torch.cat([sampled[:half], mapped]))
    noisy = mapped + cfg.latent_noise * torch.randn_like(mapped)
    parts = {
        "recon": reconstruction(rebuilt, offset, maps.texel_weight),
        "latent": ((mapped - mean[half:]) ** 2).mean(),
        "shapes": ((model.to_weights(noisy) - weights[half:]) ** 2).mean(),
        "kl": kl(mean, log_variance),
    }
    total = sum(getattr(cfg, f"weight_{k}") * v for k, v in parts.items())
    return total, {k: v.item() for k, v in parts.items()}


@torch.no_grad()
def evaluate(model: GNPFA, maps: FaceMaps, faces: int = 512) -> dict[str, float]:
    """Errors on faces of the held-out split: vertices in mm, weights, lip gap in mm through the rig."""
    model.eval()
    weights, neutral, offset = maps.draw(faces)
    z = model.to_latent(weights)
    mean, _ = model.encoder(offset, neutral)
    back = model.to_weights(z).clamp(0, 1)
    lips = maps.atlas.importance == maps.atlas.importance.max()
    true = maps.atlas.to_mesh(offset.numpy())
    report = {"weight_mae": (back - weights).abs().mean().item(), "weight_worst": (back - weights).abs().max().item()}
    gap = np.abs(maps.rig.gap_mm(back.numpy()) - maps.rig.gap_mm(weights.numpy()))
    report |= {"gap_mm": float(gap.mean()), "gap_p99_mm": float(np.percentile(gap, 99))}
    seen = model.to_weights(mean).clamp(0, 1)
    report["encoder_weight_mae"] = (seen - weights).abs().mean().item()
    for name, code in (("mapped", z), ("encoded", mean)):
        error = 10 * np.linalg.norm(maps.atlas.to_mesh(model.generator(neutral, code).numpy()) - true, axis=-1)
        report |= {f"{name}_mm": float(error.mean()), f"{name}_lips_mm": float(error[:, lips].mean())}
    report |= {"moved_lips_mm": float(10 * np.linalg.norm(true[:, lips], axis=-1).mean())}
    report |= {"z_std": z.std(0).mean().item(), "z_std_min": z.std(0).min().item(), "z_std_max": z.std(0).max().item()}
    report["latent_rmse"] = ((z - mean) ** 2).mean().sqrt().item()
    model.train()
    return report


def take_mappings(model: GNPFA, run: Path) -> None:
    """Copy M and M' (averaged) from another run and freeze them: z keeps its meaning for what was trained on it."""
    with safe_open(str(run / "last.safetensors"), "pt") as file:
        for name in ("to_latent", "to_weights"):
            prefix = f"average.{name}."
            state = {k[len(prefix) :]: file.get_tensor(k) for k in file.keys() if k.startswith(prefix)}  # noqa: SIM118
            getattr(model, name).load_state_dict(state)
            getattr(model, name).requires_grad_(False)


def train(
    cfg: GNPFAConfig, data: Path, out: Path, minutes: float, mappings: Path | None = None, seed: int = 0
) -> GNPFA:
    """Train within ``minutes`` and return the averaged network; writes ``out``/last.safetensors and metrics.json."""
    torch.manual_seed(seed)
    maps, held_out = FaceMaps(data, cfg, "train", seed), FaceMaps(data, cfg, "val", seed + 100)
    model = GNPFA(cfg)
    if mappings:
        take_mappings(model, mappings)
    else:
        model.start_mappings(maps.latent_axes(cfg))
    if cfg.linear_basis:
        model.start_basis(torch.from_numpy(maps.faces.sample(20_000)), maps.offsets)
    average = checkpoint.Average(model)
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    slow = [p for n, p in learning if "affine" in n or "basis" in n]
    fast = [p for n, p in learning if "affine" not in n and "basis" not in n]
    optimizer = AdaBelief(
        [{"params": fast, "pace": 1.0}, {"params": slow, "pace": SLOW}], lr=cfg.learning_rate, eps=1e-12,
        betas=(0.9, 0.99), rectify=False, weight_decouple=False, print_change_log=False,
    )  # fmt: skip
    file = out / "last.safetensors"
    step, spent = 0, 0.0
    if file.is_file():
        progress = checkpoint.load(file, model, average, optimizer)
        step, spent = int(progress["step"]), progress["seconds"]
    metrics: dict[str, float] = {}
    start = saved = time.monotonic()
    budget = 60.0 * minutes
    with tqdm(total=round(budget), initial=round(spent), unit="s") as bar:
        while True:
            elapsed = spent + time.monotonic() - start
            done = elapsed >= budget
            if done or time.monotonic() - saved > CHECKPOINT_S:
                metrics = evaluate(average.network, held_out) | {"step": step, "seconds": elapsed}
                checkpoint.save(file, model, average, optimizer, step=step, seconds=elapsed)
                (out / "metrics.json").write_text(json.dumps({"config": asdict(cfg), **metrics}, indent=1))
                tqdm.write(json.dumps({k: round(v, 4) for k, v in metrics.items()}))
                saved = time.monotonic()
            if done:
                return average.network
            decay = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * elapsed / budget))
            for group in optimizer.param_groups:
                group["lr"] = group["pace"] * cfg.learning_rate * min(1.0, (step + 1) / WARMUP) * decay
            total, parts = losses(model, maps, cfg)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            average.update(model, step)
            step += 1
            bar.n = round(spent + time.monotonic() - start)
            bar.set_postfix(step=step, **{k: f"{v:.2e}" for k, v in parts.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="ICT model and LiveLink takes")
    parser.add_argument("--config", choices=sorted(CONFIGS), default="edge")
    parser.add_argument("--minutes", type=float, default=25.0, help="training time in all, across resumed runs")
    parser.add_argument("--mappings", type=Path, help="run whose M and M' are taken over and frozen")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(CONFIGS[args.config](), args.data, args.out, args.minutes, args.mappings, args.seed)


if __name__ == "__main__":
    main()
