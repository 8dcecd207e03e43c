"""Train GNPFA on the range-of-motion set.

    python -m media2face.data.rom_maps --motion MOTION --out SET                 # and --split val --out VAL
    python -m media2face.training.train_gnpfa --set SET --val VAL --minutes 30 --out RUN --mappings models/weights

Half of each batch stands for the paper's scans (R: frames of real takes, reconstructed through E_geo, equation 1), half
for its artificial expressions (B: made by rules, reconstructed through M, equation 2). ``--mappings`` takes M and M'
from shipped weights and freezes them, so that z keeps its meaning for what was trained on it. Bounded by time, with a
cosine learning rate over ``--minutes``; resumes from the last checkpoint of ``--out``. With ``linear_basis`` most is
solved for at the start (``gnpfa_start.py``, some minutes more) and kept as M is: the convolutions learn what is left.
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
from torch import Tensor, nn
from tqdm import tqdm

from media2face.data.expressions import ExpressionSampler
from media2face.data.geometry_maps import FaceAtlas
from media2face.data.range_of_motion import RangeOfMotion
from media2face.data.rig import PARTS, ICTRig
from media2face.data.rom_maps import MapMaker, RomMaps
from media2face.models.gnpfa.config import CONFIGS, GNPFAConfig
from media2face.models.gnpfa.contact import LipContact
from media2face.models.gnpfa.losses import kl, latent_axes, reconstruction
from media2face.models.gnpfa.networks import GNPFA
from media2face.onnx_export.shipped import shipped_mapping
from media2face.runtime.errors import ConfigError
from media2face.training import checkpoint, gnpfa_start

CHECKPOINT_S = 180.0
WARMUP = 100
SLOW = 0.3  # learning rate of M, M' and what starts solved for, relative to the networks
_CONVOLUTIONS = (".body.", ".head.", ".neutral.", "generator.start.", ".skips.", ".ups.", ".modulation.")
START: dict[str, int] = {}
"""Overrides of ``gnpfa_start.start``'s people and steps."""


class FaceMaps:
    """The rig's shapes as maps, and batches of the range-of-motion set.

    Raises:
        ConfigError: if the set was made for maps of another layout.
    """

    def __init__(self, data: Path, cfg: GNPFAConfig, folder: Path, seed: int = 0) -> None:
        self.data, self.seed = data, seed
        self.rig = ICTRig.load(data)
        self.atlas = FaceAtlas.build(self.rig, cfg.height, cfg.width)
        self.set = RomMaps.open(folder)
        if self.set.atlas != self.atlas.fingerprint:
            raise ConfigError(
                f"{folder} holds maps of the layout {self.set.atlas}, this configuration draws on "
                f"{self.atlas.fingerprint}: make the set with --size {cfg.height} {cfg.width}"
            )
        self.maker = maker = MapMaker(RangeOfMotion(self.rig, self.atlas))
        self.contact = LipContact(torch.from_numpy(maker.lips.toarray()).float(), torch.from_numpy(maker.seal))
        matrix = maker.remap.tocsr()
        self._remap = torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr).long(), torch.from_numpy(matrix.indices).long(),
            torch.from_numpy(matrix.data).float(), matrix.shape,
        )  # fmt: skip
        self.texel_weight = torch.from_numpy(self.atlas.texel_weight)
        self.rng = np.random.default_rng(seed + 1)

    def rows(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights (n, K), neutrals and offsets (n, 3, H, W) cm, lip heights (n, 6) of rows of the set."""
        rows = np.sort(rows)
        person = self.set.person[rows]
        return (
            torch.from_numpy(self.set.weights[rows].astype(np.float32)), torch.from_numpy(self.set.neutrals[person]),
            torch.from_numpy(self.set.offsets[rows].astype(np.float32)),
            torch.from_numpy(self.set.lip_heights[person]),
        )  # fmt: skip

    def draw(self, n: int, real: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``n`` random rows whose expressions are of real takes, or made by rules."""
        return self.rows(self.rng.choice(self.set.real_rows if real else self.set.made_rows, n))

    def seen(self, offsets: Tensor) -> Tensor:
        """Fitted maps (B, 3, H, W) as the rasters of their meshes, which E_geo reads."""
        flat = offsets.flatten(2).permute(2, 0, 1).reshape(self._remap.shape[1], -1)
        return (self._remap @ flat).reshape(-1, len(offsets), 3).permute(1, 2, 0).reshape(offsets.shape)

    def latent_axes(self, cfg: GNPFAConfig, faces: int = 20_000) -> Tensor:
        """Start of M: (D, K), from how far shapes move the face (eyeballs and tongue too) and realistic weights."""
        pick = np.concatenate([self.atlas.charted, np.arange(*PARTS["eyeballs"])])
        moves = self.rig.vertices(np.eye(cfg.shapes, dtype=np.float32), subset=pick) - self.rig.neutral[pick]
        moves[:, : len(self.atlas.importance)] *= np.sqrt(self.atlas.importance)[:, None]
        flat = torch.from_numpy(moves.reshape(cfg.shapes, -1)).double()
        covariance = torch.from_numpy(np.cov(self.faces(faces).numpy().T)).double()
        return latent_axes(flat @ flat.T, covariance, cfg.latent_dim).float()

    def faces(self, n: int) -> Tensor:
        """Realistic weights (n, K) of the training split."""
        return torch.from_numpy(ExpressionSampler(self.data, "train", self.seed).sample(n))


def losses(model: GNPFA, maps: FaceMaps, cfg: GNPFAConfig) -> tuple[Tensor, dict[str, float]]:
    """One batch through equations 1 and 2; the total and its parts."""
    half = cfg.batch // 2
    real, made = maps.draw(half, True), maps.draw(cfg.batch - half, False)
    weights, neutral, offset, lips = (torch.cat(pair) for pair in zip(real, made, strict=True))
    mean, log_variance = model.encoder(maps.seen(offset), neutral)
    sampled = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    mapped = model.to_latent(weights)
    rebuilt = maps.contact(model.generator(neutral, torch.cat([sampled[:half], mapped[half:]])), lips)
    noisy = mapped + cfg.latent_noise * torch.randn_like(mapped)
    parts = {
        "recon": reconstruction(rebuilt, offset, maps.texel_weight),
        "latent": ((mapped - mean) ** 2).mean(),
        "shapes": ((model.to_weights(noisy) - weights) ** 2).mean() + ((model.to_weights(mean) - weights) ** 2).mean(),
        "kl": kl(mean, log_variance),
    }
    total = sum(getattr(cfg, f"weight_{k}") * v for k, v in parts.items())
    return total, {k: v.item() for k, v in parts.items()}


@torch.no_grad()
def evaluate(model: GNPFA, maps: FaceMaps, faces: int = 256) -> dict[str, float]:
    """Errors on a held-out set: vertices in mm through M and through E_geo, beside the neutral; weights; z."""
    model.eval()
    rows = np.random.default_rng(0).choice(len(maps.set.weights), min(faces, len(maps.set.weights)), replace=False)
    weights, neutral, offset, heights = maps.rows(rows)
    z = model.to_latent(weights)
    pairs = zip(offset.split(32), neutral.split(32), strict=True)
    mean = torch.cat([model.encoder(maps.seen(o), n)[0] for o, n in pairs])
    back, seen = (model.to_weights(x).clamp(0, 1) for x in (z, mean))
    report = {"weight_mae": (back - weights).abs().mean().item(), "weight_worst": (back - weights).abs().max().item()}
    gap = np.abs(maps.rig.gap_mm(back.numpy()) - maps.rig.gap_mm(weights.numpy()))
    report |= {"gap_mm": float(gap.mean()), "gap_p99_mm": float(np.percentile(gap, 99))}
    report["encoder_weight_mae"] = (seen - weights).abs().mean().item()
    lips = maps.atlas.importance == maps.atlas.importance.max()
    true = maps.atlas.to_mesh(offset.numpy())
    motion = 10 * np.linalg.norm(true, axis=-1)
    report |= {"neutral_mm": float(motion.mean()), "neutral_lips_mm": float(motion[:, lips].mean())}
    for name, code in (("mapped", z), ("encoded", mean)):
        parts = zip(neutral.split(32), code.split(32), heights.split(32), strict=True)
        made = torch.cat([maps.contact(model.generator(n, c), h) for n, c, h in parts])
        error = 10 * np.linalg.norm(maps.atlas.to_mesh(made.numpy()) - true, axis=-1)
        report |= {f"{name}_mm": float(error.mean()), f"{name}_lips_mm": float(error[:, lips].mean())}
        report[f"{name}_moved_share"] = float(error[motion > 0.5].mean() / motion[motion > 0.5].mean())
    report |= {"z_std": z.std(0).mean().item(), "z_std_min": z.std(0).min().item(), "z_std_max": z.std(0).max().item()}
    report["latent_rmse"] = ((z - mean) ** 2).mean().sqrt().item()
    model.train()
    return report


def take_mappings(model: GNPFA, folder: Path) -> None:
    """Copy M and M' from shipped weights and freeze them: z keeps its meaning for what was trained on it."""
    for mine, name in ((model.to_latent, "gnpfa_from_weights"), (model.to_weights, "gnpfa_to_weights")):
        shipped = shipped_mapping(name, folder)
        if shipped.residual[0].out_features != mine.residual[0].out_features:
            raise ConfigError(
                f"{name} in {folder} is {shipped.residual[0].out_features} wide, this configuration's mapping_width is "
                f"{mine.residual[0].out_features}: train without --mappings, or with the configuration that made it"
            )
        mine.load_state_dict(shipped.state_dict())
        mine.requires_grad_(False)


def start(
    model: GNPFA, maps: FaceMaps, cfg: GNPFAConfig, mappings: Path | None = None, run: Path | None = None
) -> None:
    """M and M' from shipped weights or from the rig; with ``linear_basis`` also what starts from rig and people.

    ``run``: a training run of the same configuration whose averaged networks are gone on with instead.
    """
    if run:
        with safe_open(str(run / "last.safetensors"), "pt") as file:
            state = {k[8:]: file.get_tensor(k) for k in file.keys() if k.startswith("average.")}  # noqa: SIM118
        model.load_state_dict(state)
        if mappings:
            take_mappings(model, mappings)
        return
    if mappings:
        take_mappings(model, mappings)
    else:
        model.start_mappings(maps.latent_axes(cfg))
    if cfg.linear_basis:
        gnpfa_start.start(model, maps, maps.faces(4000), **START)


def pace(name: str, cfg: GNPFAConfig) -> float:
    """Learning rate of a parameter relative to ``cfg.learning_rate``."""
    solved = "affine" in name or (cfg.linear_basis and "residual" not in name)
    return 1.0 if any(part in name for part in _CONVOLUTIONS) or not solved else SLOW


def keep_solved(model: GNPFA) -> None:
    """Freeze what ``gnpfa_start`` solved for: a few thousand noisy steps would only blur it. Convolutions learn on."""
    for name, parameter in model.named_parameters():
        if not any(part in name for part in _CONVOLUTIONS):
            parameter.requires_grad_(False)


def train(
    cfg: GNPFAConfig, data: Path, folder: Path, val: Path, out: Path, minutes: float, mappings: Path | None = None,
    run: Path | None = None, seed: int = 0,
) -> GNPFA:
    """Train within ``minutes`` and return the averaged network; writes ``out``/last.safetensors and metrics.json."""
    torch.manual_seed(seed)
    maps, held_out = FaceMaps(data, cfg, folder, seed), FaceMaps(data, cfg, val, seed + 100)
    model = GNPFA(cfg)
    if (out / "last.safetensors").is_file() and mappings:
        take_mappings(model, mappings)  # frozen; the rest comes from the checkpoint
    else:
        start(model, maps, cfg, mappings, run)
    if mappings and cfg.linear_basis:
        keep_solved(model)
    average = checkpoint.Average(model)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(pace(name, cfg), []).append(parameter)
    optimizer = AdaBelief(
        [{"params": v, "pace": k} for k, v in groups.items()], lr=cfg.learning_rate, eps=1e-12,
        betas=(0.9, 0.99), rectify=False, weight_decouple=False, print_change_log=False,
    )  # fmt: skip
    file = out / "last.safetensors"
    step, spent = 0, 0.0
    if file.is_file():
        progress = checkpoint.load(file, model, average, optimizer)
        step, spent = int(progress["step"]), progress["seconds"]
    metrics: dict[str, float] = {}
    began, saved = time.monotonic(), -math.inf
    budget = 60.0 * minutes
    with tqdm(total=round(budget), initial=round(spent), unit="s", mininterval=5.0) as bar:
        while True:
            elapsed = spent + time.monotonic() - began
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
            bar.n = round(spent + time.monotonic() - began)
            bar.set_postfix(step=step, refresh=False, **{k: f"{v:.2e}" for k, v in parts.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="ICT model and LiveLink takes")
    parser.add_argument("--set", type=Path, required=True, help="range-of-motion set (data/rom_maps.py)")
    parser.add_argument("--val", type=Path, required=True, help="the same of the split val")
    parser.add_argument("--config", choices=sorted(CONFIGS), default="edge")
    parser.add_argument("--minutes", type=float, default=30.0, help="training time in all, across resumed runs")
    parser.add_argument("--mappings", type=Path, help="folder of weights whose M and M' are taken over and frozen")
    parser.add_argument("--start", type=Path, help="run to go on from, on another set: its averaged networks")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = CONFIGS[args.config]()
    train(config, args.data, args.set, args.val, args.out, args.minutes, args.mappings, args.start, args.seed)


if __name__ == "__main__":
    main()
