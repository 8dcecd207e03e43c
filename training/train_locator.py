"""Train the locator: where faces are in a whole picture.

    python -m media2face.training.train_locator --set SET --minutes 10 --out OUT

Pictures of ``data.vision_set`` are pasted, softly cut out, at random places and sizes on random backgrounds; patches
without a face and heads seen from behind are pasted in the same way, so that a seam alone is no face. Bounded by time;
resumes from ``--out``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from media2face.data.face_pictures import backdrop
from media2face.data.vision_set import SIZE
from media2face.models.vision.config import VisionConfig
from media2face.models.vision.networks import STRIDE, Locator
from media2face.training import checkpoint
from media2face.training.vision_batches import Batches

WIDTH, HEIGHT = 160, 128
BATCH = 12
SMALLEST, LARGEST = 18.0, 150.0
"""Sides of the faces' crops in pixels of the locator's input."""
CHECKPOINT_S = 120.0
LEARNING_RATE = 2e-3
BACKDROPS = 400


class Scenes:
    """Draws pictures (B, 3, HEIGHT, WIDTH) and the faces in them."""

    def __init__(self, batches: Batches, seed: int = 0) -> None:
        self.batches, self.rng = batches, np.random.default_rng(seed)
        made = [backdrop(self.rng, WIDTH)[:HEIGHT] for _ in range(BACKDROPS)]
        self._backdrops = torch.from_numpy((255 * np.stack(made)).astype(np.uint8)).permute(0, 3, 1, 2)
        self._rows, self._columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")

    def _backdrop(self) -> Tensor:
        picture = self._backdrops[self.rng.integers(BACKDROPS)].float() / 255
        if self.rng.random() < 0.5:
            picture = picture.flip(2)
        return (picture + float(self.rng.normal(0, 0.1))).clamp(0, 1)

    def _paste(
        self, scene: Tensor, tile: Tensor, centre: np.ndarray, side: float, at: np.ndarray, scale: float
    ) -> Tensor:
        """``tile`` (3, S, S) laid softly on ``scene``, its pixel ``centre`` at ``at``, enlarged by ``scale``."""
        across, down = (self._columns - at[0]) / scale, (self._rows - at[1]) / scale
        spot = torch.stack([centre[0] + across, centre[1] + down], 2)
        grid = ((spot + 0.5) / SIZE * 2 - 1)[None].float()
        patch = F.grid_sample(tile[None].float() / 255, grid, padding_mode="border", align_corners=False)[0]
        wide, tall = self.rng.uniform(0.44, 0.58), self.rng.uniform(0.5, 0.6)
        power = self.rng.choice([2.0, 4.0, 8.0])
        away = ((across / (wide * side)).abs() ** power + (down / (tall * side)).abs() ** power) ** (1 / power)
        mask = ((1 - away) / self.rng.uniform(0.03, 0.2) + 0.5).clamp(0, 1)
        return scene + mask.float() * (patch - scene)

    def draw(self, count: int = BATCH) -> tuple[Tensor, list[list[tuple[float, float, float]]]]:
        """Pictures, and for each the faces' (x, y, side) in pixels."""
        images, labels = self.batches.draw(3 * count, count)
        order = iter(self.rng.permutation(len(images)))
        out, truth = [], []
        for _ in range(count):
            scene, faces = self._backdrop(), []
            for _ in range(self.rng.choice(4, p=[0.08, 0.47, 0.3, 0.15])):
                k = next(order)
                side = float(np.exp(self.rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
                at = self.rng.uniform([0.3 * side, 0.3 * side], [max(WIDTH - 0.3 * side, 0.3 * side + 1),
                                                                 max(HEIGHT - 0.3 * side, 0.3 * side + 1)])  # fmt: skip
                if any(math.dist(at, other[:2]) < 0.65 * (side + other[2]) for other in faces):
                    continue
                tile, centre, own = images[k], labels["centre"][k].numpy(), float(labels["side"][k])
                nothing = self.rng.random() < 0.2
                if nothing:
                    tile = (255 * self._backdrop()[:, :SIZE, :SIZE]).byte()
                scene = self._paste(scene, tile, centre, own, at, side / own)
                if not nothing and float(labels["face"][k]) == 1:
                    faces.append((float(at[0]), float(at[1]), side))
            out.append(scene)
            truth.append(faces)
        return self.batches.look(torch.stack(out)), truth


def targets(truth: list[list[tuple[float, float, float]]]) -> tuple[Tensor, Tensor]:
    """Per cell: 1 a face, 0 none, -1 either (B, h, w); right, down, log side (B, 3, h, w) in units of 8 cells."""
    h, w = HEIGHT // STRIDE, WIDTH // STRIDE
    rows, columns = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    label, where = torch.zeros(len(truth), h, w), torch.zeros(len(truth), 3, h, w)
    for k, faces in enumerate(truth):
        for x, y, side in faces:
            right, down = (x + 0.5) / STRIDE - columns, (y + 0.5) / STRIDE - rows
            away = (right**2 + down**2).sqrt()
            near = away <= max(0.17 * side / STRIDE, float(away.min()) + 1e-4)
            label[k][(away < 0.45 * side / STRIDE + 1) & (label[k] < 1)] = -1
            label[k][near] = 1
            values = (right / 8, down / 8, torch.full_like(right, math.log(side / (8 * STRIDE))))
            for channel, value in enumerate(values):
                where[k, channel][near] = value[near]
    return label, where


def loss(made: Tensor, truth: list[list[tuple[float, float, float]]]) -> Tensor:
    """Focal cross-entropy of the cells and smooth L1 of the squares."""
    label, where = targets(truth)
    chance = torch.sigmoid(made[:, 0])
    entropy = F.binary_cross_entropy_with_logits(made[:, 0], label.clamp_min(0), reduction="none")
    hard = torch.where(label == 1, 1 - chance, chance) ** 2 * entropy * (label >= 0)
    found = label == 1
    count = found.sum().clamp_min(1)
    apart = F.smooth_l1_loss(made[:, 1:], where, reduction="none", beta=0.05).sum(1)
    return hard.sum() / count + 2.0 * (apart * found).sum() / count


@torch.no_grad()
def evaluate(model: Locator, scenes: Scenes, count: int = 96) -> dict[str, float]:
    """Share of faces whose best cell lies within 0.25 sides and 30 % of size; false peaks per picture."""
    model.eval()
    images, truth = scenes.draw(count)
    made = model(images)
    chance = torch.sigmoid(made[:, 0])
    found = faces = false = 0
    for k, known in enumerate(truth):
        faces += len(known)
        left = chance[k].clone()
        for _ in range(6):
            row, column = divmod(int(left.argmax()), left.shape[1])
            if left[row, column] < 0.4:
                break
            right, down, grown = made[k, 1:, row, column].tolist()
            x, y = (column + 0.5 + 8 * right) * STRIDE, (row + 0.5 + 8 * down) * STRIDE
            side = math.exp(grown) * 8 * STRIDE
            hit = any(math.dist((x, y), f[:2]) < 0.25 * f[2] and abs(math.log(side / f[2])) < 0.27 for f in known)
            found, false = found + hit, false + (not hit)
            reach = max(1, round(0.5 * side / STRIDE))
            left[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 0
    model.train()
    return {"found": found / max(faces, 1), "false_per_picture": false / count}


def train(folder: Path, out: Path, minutes: float, seed: int = 0) -> Locator:
    """Train within ``minutes``; writes ``out``/locator.safetensors and locator.json."""
    torch.manual_seed(seed)
    scenes = Scenes(Batches(folder, seed=seed), seed)
    held_out = Scenes(Batches(folder, held_out=True, seed=seed), seed + 1)
    model = Locator(VisionConfig.edge().locator_channels).to(memory_format=torch.channels_last)
    average = checkpoint.Average(model, 0.995)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-3)
    file = out / "locator.safetensors"
    step, spent = 0, 0.0
    if file.is_file():
        progress = checkpoint.load(file, model, average, optimizer)
        step, spent = int(progress["step"]), progress["seconds"]
    start = saved = time.monotonic()
    budget = 60.0 * minutes
    with tqdm(total=round(budget), initial=round(spent), unit="s") as bar:
        while True:
            elapsed = spent + time.monotonic() - start
            done = elapsed >= budget
            if done or time.monotonic() - saved > CHECKPOINT_S:
                for own, current in zip(average.network.buffers(), model.buffers(), strict=True):
                    own.copy_(current)
                metrics = evaluate(average.network, held_out) | {"step": step, "seconds": elapsed}
                checkpoint.save(file, model, average, optimizer, step=step, seconds=elapsed)
                (out / "locator.json").write_text(json.dumps(metrics, indent=1))
                tqdm.write(json.dumps({k: round(v, 4) for k, v in metrics.items()}))
                saved = time.monotonic()
            if done:
                return average.network
            for group in optimizer.param_groups:
                group["lr"] = (
                    LEARNING_RATE
                    * min(1.0, (step + 1) / 50)
                    * (0.01 + 0.495 * (1 + math.cos(math.pi * elapsed / budget)))
                )
            images, truth = scenes.draw()
            total = loss(model(images.to(memory_format=torch.channels_last)), truth)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            average.update(model, step)
            step += 1
            bar.n = round(spent + time.monotonic() - start)
            bar.set_postfix(step=step, loss=f"{total.item():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--set", type=Path, required=True, help="folder made by data.vision_set")
    parser.add_argument("--minutes", type=float, default=10.0, help="training time in all, across resumed runs")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints, that of train_vision")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    train(args.set, args.out, args.minutes)


if __name__ == "__main__":
    main()
