"""Train E_exp and E_pose with M' and G_geo frozen.

    python -m media2face.data.vision_set --data ../shared/data --out SET --tracks TRACKS
    python -m media2face.training.train_vision --set SET --minutes 45 --out OUT

    python -m media2face.training.train_vision --set SET --minutes 120 --start shipped --only expression --out OUT

Each batch mixes synthetic pictures (random identities and blendshapes: equation 3's twin) with GRID's labelled frames
(equation 3). Bounded by time, with a cosine learning rate over ``--minutes``; resumes from ``--out``.
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
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from media2face.models.vision.config import CONFIGS, VisionConfig
from media2face.models.vision.losses import point_loss, pose_losses
from media2face.models.vision.networks import Vision, rotation_of
from media2face.onnx_export.shipped import shipped_picture_network
from media2face.training import checkpoint
from media2face.training.muon import Muon
from media2face.training.vision_batches import WIDE, Batches
from media2face.training.vision_faces import FrozenFace

CHECKPOINT_S = 240.0
SHIPPED = "shipped"
WARMUP = 60
HALF = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
"""Whether this processor computes bfloat16; where it only imitates it, a step takes ten times as long."""
EMPTY = 0.12
"""Share of E_pose's pictures that are cut beside the face; as many more show heads turned away."""


def losses(
    model: Vision, batches: Batches, face: FrozenFace, cfg: VisionConfig, rendered: int, pose: bool = True
) -> tuple[Tensor, dict[str, float]]:
    """One batch through equation 3 and its twin, ``rendered`` pictures of it through G_geo and the renderer too; the
    total and its parts. Without ``pose`` E_pose is only asked where pictures are rendered."""
    real = round(cfg.grid_share * cfg.batch)
    images, labels = batches.draw(cfg.batch - real, real)
    parts, z, weights = expression_losses(model, batches, face, images, labels)
    if pose or rendered:
        wide, seen = batches.crop(images, labels, cfg.pose.size, WIDE)
        if pose:
            found, more = pose_step(model, batches, face, images, labels, wide, seen)
            parts |= {name: parts[name] + loss if name in parts else loss for name, loss in more.items()}
        else:
            with torch.no_grad():
                found = model.pose(batches.look(wide))
        if rendered:
            turned, place = rotation_of(found[:, :6]), found[:, 6:9]
            parts |= face.compare(z, weights, turned, place, wide, seen, labels, rendered)
    total = sum(getattr(cfg, f"weight_{k}") * v for k, v in parts.items())
    return total, {k: v.item() for k, v in parts.items()}


def expression_losses(
    model: Vision, batches: Batches, face: FrozenFace, images: Tensor, labels: dict[str, Tensor]
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """What E_exp makes of a batch: losses, codes (B, 64) and weights (B, 52)."""
    squares = batches.found(model.pose, images, labels)
    close, placed = batches.crop_at(images, labels, model.cfg.expression.size, *squares)
    with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
        z, near = model.expression.with_points(batches.look(close).to(memory_format=torch.channels_last))
    z = z.float()
    weights = face.weights(z)
    facing = (labels["face"] == 1).float()
    count = facing.sum().clamp_min(1)
    parts = {
        "skin": (face.skin_mm(weights, labels["weights"], labels["valid"]) * facing).sum() / count,
        "vertices": (face.distance(weights, labels["weights"], labels["valid"]) * facing).sum() / count,
        "latent": (((z - labels["z"]) ** 2).mean(1) * facing).sum() / count,
    }
    if model.cfg.expression.points:
        parts["points"] = point_loss(near, face.marks(labels, placed), facing * (labels["identity"] >= 0))
    return parts, z, weights


def pose_step(
    model: Vision, batches: Batches, face: FrozenFace, images: Tensor, labels: dict[str, Tensor], wide: Tensor,
    seen: dict[str, Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
    """What E_pose makes of a batch's crops and of some without a face: outputs (B', 10) and losses."""
    size = model.cfg.pose.size
    empty = max(1, round(EMPTY * len(images)))
    pick = torch.randperm(len(images), generator=batches.generator)[:empty]
    nothing = batches.without_face(images[pick], {k: v[pick] for k, v in labels.items()}, size)
    if len(batches.away):
        away, _ = batches.crop(*batches.draw_away(empty), size, WIDE)
        nothing, empty = torch.cat([nothing, away]), empty + len(away)
    with torch.autocast("cpu", torch.bfloat16, enabled=HALF):
        pictures = batches.look(torch.cat([wide, nothing])).to(memory_format=torch.channels_last)
        found, far = model.pose.with_points(pictures)
    found = found.float()
    true = {
        "rotation": torch.cat([seen["rotation"], torch.eye(3).expand(empty, 3, 3)]),
        "place": torch.cat([seen["place"], torch.zeros(empty, 3)]),
        "face": torch.cat([labels["face"], torch.zeros(empty)]),
    }
    parts = pose_losses(found, rotation_of(found[:, :6]), true)
    if model.cfg.pose.points:
        known = (labels["face"] == 1).float() * (labels["identity"] >= 0)
        parts["points"] = point_loss(far[: len(images)], face.marks(labels, seen), known)
    return found, parts


@torch.no_grad()
def evaluate(model: Vision, batches: Batches, face: FrozenFace, pictures: int = 512, frames: int = 450) -> dict:
    """Held-out errors: mm over the face against the neutral's, degrees, and the correlation of GRID's lip gap."""
    model.eval()
    rows, frames = batches.rows[:pictures], np.arange(min(frames, len(batches.real.labels)))
    images, labels = batches.take(rows, frames)
    batches.generator.manual_seed(0)
    close, _ = batches.crop_at(images, labels, model.cfg.expression.size, *batches.found(model.pose, images, labels))
    wide, seen = batches.crop(images, labels, model.cfg.pose.size, WIDE)
    z = torch.cat([model.expression(part) for part in close.split(64)])
    pose = torch.cat([model.pose(part) for part in wide.split(64)])
    weights, facing, made = face.weights(z).clamp(0, 1), labels["face"] == 1, labels["identity"] >= 0
    error, neutral = (face.mean_mm(w, labels["weights"]) for w in (weights, torch.zeros_like(weights)))
    chord = ((rotation_of(pose[:, :6]) - seen["rotation"]) ** 2).sum((1, 2)).sqrt() / math.sqrt(8)
    degrees = 2 * torch.rad2deg(torch.asin(chord.clamp(0, 1)))
    keep = facing & made
    gap = face.gap_mm(weights[~made])
    model.train()
    return {
        "mm": error[keep].mean().item(), "neutral_mm": neutral[keep].mean().item(),
        "degrees": degrees[keep].mean().item(), "grid_degrees": degrees[~made].mean().item(),
        "place": (pose[keep, 6:9] - seen["place"][keep]).abs().mean().item(),
        "face_right": ((pose[:, 9] > 0) == facing)[labels["face"] >= 0].float().mean().item(),
        "grid_gap_r": float(np.corrcoef(gap.numpy(), labels["gap"][~made].numpy())[0, 1]),
    }  # fmt: skip


def warm_start(model: Vision, run: Path) -> int:
    """Take over the averaged layers of another run that have the same names and shapes; returns how many."""
    own = model.state_dict()
    with safe_open(str(run / "last.safetensors"), "pt") as file:
        state = {k[8:]: file.get_tensor(k) for k in file.keys() if k.startswith("average.")}  # noqa: SIM118
    fits = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    for name in ("expression.head.0.weight", "pose.head.0.weight"):  # inputs that are new count nothing at first
        if name in state and name not in fits and len(state[name]) == len(own[name]):
            fits[name] = torch.zeros_like(own[name])
            fits[name][:, : state[name].shape[1]] = state[name]
    model.load_state_dict(fits, strict=False)
    return len(fits)


def start_from_shipped(model: Vision, batches: Batches, pictures: int = 256) -> None:
    """Take over E_exp and E_pose as they ship."""
    images, labels = batches.draw(pictures, 0)
    wide, _ = batches.crop(images, labels, model.cfg.pose.size, WIDE)
    shipped_picture_network("vision_pose", model.pose, batches.look(wide))
    squares = batches.found(model.pose, images, labels)
    close, _ = batches.crop_at(images, labels, model.cfg.expression.size, *squares)
    shipped_picture_network("vision_expression", model.expression, batches.look(close))


def train(
    cfg: VisionConfig, folder: Path, data: Path, out: Path, minutes: float, start_from: Path | str | None = None,
    seed: int = 0, pose: bool = True,
) -> Vision:  # fmt: skip
    """Train within ``minutes`` and return the averaged networks; writes ``out``/last.safetensors and metrics.json.
    Without ``pose``, E_pose stays as it started."""
    torch.manual_seed(seed)
    batches, held_out = Batches(folder, seed=seed), Batches(folder, held_out=True, seed=seed)
    face = FrozenFace(data, batches, cfg.render_size)
    model = Vision(cfg).to(memory_format=torch.channels_last)
    model.pose.train(pose).requires_grad_(pose)
    learning = [p for p in [*model.expression.parameters(), *model.pose.parameters()] if p.requires_grad]
    optimizer = Muon(learning, lr=cfg.learning_rate, weight_decay=1e-3)
    file = out / "last.safetensors"
    if start_from and not file.is_file():
        if str(start_from) == SHIPPED:
            start_from_shipped(model, batches)
        else:
            warm_start(model, Path(start_from))
    average = checkpoint.Average(model)
    step, spent = 0, 0.0
    if file.is_file():
        progress = checkpoint.load(file, model, average, optimizer)
        step, spent = int(progress["step"]), progress["seconds"]
        batches.rng, batches.generator = np.random.default_rng([seed, step]), batches.generator.manual_seed(seed + step)
    start = saved = time.monotonic()
    budget = 60.0 * minutes
    with tqdm(total=round(budget), initial=round(spent), unit="s") as bar:
        while True:
            elapsed = spent + time.monotonic() - start
            done = elapsed >= budget
            if done or time.monotonic() - saved > CHECKPOINT_S:
                for own, current in zip(average.network.buffers(), model.buffers(), strict=True):
                    own.copy_(current)
                metrics = evaluate(average.network, held_out, face)
                progress = {"step": step, "seconds": elapsed, "pictures": len(batches.rows)}
                checkpoint.save(file, model, average, optimizer, step=step, seconds=elapsed)
                (out / "metrics.json").write_text(json.dumps({"config": asdict(cfg), **metrics, **progress}, indent=1))
                tqdm.write(json.dumps({k: round(v, 4) for k, v in (metrics | progress).items()}))
                batches.refresh()
                saved = time.monotonic()
            if done:
                return average.network
            decay = 0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * elapsed / budget))
            for group in optimizer.param_groups:
                group["lr"] = cfg.learning_rate * min(1.0, (step + 1) / WARMUP) * decay
            total, parts = losses(model, batches, face, cfg, 0 if step % cfg.render_every else cfg.rendered, pose)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(learning, 20.0)
            optimizer.step()
            average.update(model, step)
            step += 1
            bar.n = round(spent + time.monotonic() - start)
            bar.set_postfix(step=step, **{k: f"{v:.3g}" for k, v in parts.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--set", type=Path, required=True, help="folder made by data.vision_set")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="ICT model")
    parser.add_argument("--config", choices=sorted(CONFIGS), default="edge")
    parser.add_argument("--minutes", type=float, default=45.0, help="training time in all, across resumed runs")
    parser.add_argument(
        "--start", help=f"run whose layers are taken over where they have the same shape, or '{SHIPPED}': what ships"
    )
    parser.add_argument("--only", choices=["expression"], help="leave E_pose as it starts")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    train(CONFIGS[args.config](), args.set, args.data, args.out, args.minutes, args.start, args.seed, not args.only)


if __name__ == "__main__":
    main()
