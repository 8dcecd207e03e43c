"""Batches for the vision encoders: crops cut anew each time, with their labels moved along, and changed in look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from media2face.data.fit import Talker
from media2face.data.vision_set import SIZE, PictureSet
from media2face.models.vision.networks import rotation_of
from media2face.onnx_export.shipped import shipped_mapping
from media2face.runtime.arkit import MIRRORED
from media2face.runtime.vision import SEES_ROLL

FIELDS = ("z", "weights", "rotation", "centre", "side", "face", "identity", "distance", "gap", "clip")


class Jitter:
    """How crops stray: standard deviations of their shift (in sides), log size and turn (radians)."""

    def __init__(self, shift: float, zoom: float, turn: float) -> None:
        self.shift, self.zoom, self.turn = shift, zoom, turn

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Shifts (n, 2), log sizes (n,), turns (n,)."""
        shift, zoom, turn = (torch.randn(n, k, generator=generator).clamp(-2, 2) for k in (2, 1, 1))
        return self.shift * shift, self.zoom * zoom[:, 0], self.turn * turn[:, 0]


WIDE = Jitter(0.07, 0.12, 0.12)
"""Of the crops that E_pose learns to place."""
CHANGED = 0.6
"""Share of the pictures whose look is changed."""
_ACROSS = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]])
"""Signs of a rotation's entries seen in a mirror that swaps left and right (REP-103: y)."""


class Batches:
    """Draws from one split of synthetic pictures and one of GRID's frames.

    Args:
        folder: as made by ``data.vision_set``.
        held_out: draw from ``val`` and ``grid_val``.
    """

    def __init__(self, folder: Path, held_out: bool = False, seed: int = 0) -> None:
        split = "val" if held_out else "train"
        self.made, self.real = PictureSet(folder, split), PictureSet(folder, f"grid_{split}")
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self._to_latent = shipped_mapping("gnpfa_from_weights")
        self.seen_on_video = torch.from_numpy(Talker.valid().astype(np.float32))
        self.refresh()

    def refresh(self) -> None:
        """Look again which synthetic pictures there are: rendering may still go on."""
        self.rows = self.made.ready()
        self.away = self.rows[self.made.labels["face"][self.rows] == 0]

    def draw(self, made: int, real: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Stored pictures (n, 3, S, S) uint8 and labels, synthetic ones first; half of them as a mirror shows them."""
        rows = np.sort(self.rng.choice(self.rows, made, replace=len(self.rows) < made))
        frames = np.sort(self.rng.integers(len(self.real.labels), size=real))
        return self._mirror(*self.take(rows, frames))

    def _mirror(self, images: Tensor, labels: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Half of the pictures seen in a mirror: the other side's shapes, and ``mirrored`` (n,) true."""
        flip = torch.rand(len(images), generator=self.generator) < 0.5
        images, out = images.clone(), {k: v.clone() for k, v in labels.items()}
        images[flip] = images[flip].flip(3)
        for key in ("weights", "valid"):
            out[key][flip] = labels[key][flip][:, list(MIRRORED)]
        with torch.no_grad():
            out["z"][flip] = self._to_latent(out["weights"][flip])
        out["rotation"][flip] = labels["rotation"][flip] * _ACROSS
        out["centre"][flip, 0] = SIZE - 1 - labels["centre"][flip, 0]
        return images, out | {"mirrored": flip}

    def draw_away(self, count: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Heads that are turned away, as :meth:`draw`, where the split has any."""
        return self.take(np.sort(self.rng.choice(self.away, count)), np.zeros(0, np.int64))

    def take(self, rows: np.ndarray, frames: np.ndarray) -> tuple[Tensor, dict[str, Tensor]]:
        """The named rows of the synthetic pictures, then the named frames of GRID."""
        images = np.concatenate([self.made.images[rows], self.real.images[frames]])
        labels = np.concatenate([self.made.labels[rows], self.real.labels[frames]])
        out = {k: torch.from_numpy(np.array(labels[k], order="C")) for k in FIELDS}
        out["mirrored"] = torch.zeros(len(labels), dtype=torch.bool)
        out["valid"] = torch.where((out["identity"] < 0)[:, None], self.seen_on_video, torch.ones(()))
        return torch.from_numpy(images).permute(0, 3, 1, 2), out

    def crop(self, images: Tensor, labels: dict[str, Tensor], size: int, jitter: Jitter | None) -> tuple[Tensor, dict]:
        """Crops about the truth, see :meth:`crop_at`."""
        return self.crop_at(images, labels, size, *self.stray(labels, jitter))

    def stray(self, labels: dict[str, Tensor], jitter: Jitter | None) -> tuple[Tensor, Tensor, Tensor]:
        """Centres (n, 2) and sides (n,) in pixels, and turns (n,) of squares about the true ones."""
        n = len(labels["side"])
        if jitter is None:
            return labels["centre"], labels["side"], torch.zeros(n)
        shift, zoom, turn = jitter.draw(n, self.generator)
        return labels["centre"] + shift * labels["side"][:, None], labels["side"] * zoom.exp(), turn

    def crop_at(
        self, images: Tensor, labels: dict[str, Tensor], size: int, centre: Tensor, side: Tensor, turn: Tensor
    ) -> tuple[Tensor, dict]:
        """Crops (n, 3, size, size) in [0, 1], with ``rotation`` (n, 3, 3) and ``place`` (n, 3) as seen in them."""
        cosine, sine = turn.cos(), turn.sin()
        apart = (labels["centre"] - centre) / side[:, None]
        place = torch.stack([
            cosine * apart[:, 0] + sine * apart[:, 1], cosine * apart[:, 1] - sine * apart[:, 0],
            (labels["side"] / side).log(),
        ], 1)  # fmt: skip
        seen = {"rotation": about_x(turn) @ labels["rotation"], "place": place}
        return cut(images, centre, side, turn, size), seen

    @torch.no_grad()
    def found(self, pose: nn.Module, images: Tensor, labels: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Squares as :meth:`stray` gives them, where E_pose finds them in two looks, upright.

        They are what E_exp is shown at run time: E_pose takes an open mouth for a larger face, as the truth does not.
        """
        centre, side, turn = self.stray(labels, WIDE)
        learns = pose.training
        pose.eval()
        for _ in range(2):
            crops, _ = self.crop_at(images, labels, pose.size, centre, side, turn)
            made = pose(self.look(crops))
            right, down, grown = made[:, 6:9].clamp(-0.5, 0.5).unbind(1)
            cosine, sine = turn.cos(), turn.sin()
            shift = torch.stack([cosine * right - sine * down, sine * right + cosine * down], 1)
            centre, side = centre + shift * side[:, None], side * grown.exp()
            turned = about_x(-turn) @ rotation_of(made[:, :6])
            lean = -torch.atan2(turned[:, 2, 1] - turned[:, 1, 2], turned[:, 1, 1] + turned[:, 2, 2])
            turn = torch.where(lean.abs() > SEES_ROLL, lean, 0.0)
        pose.train(learns)
        return centre, side, turn

    def without_face(self, images: Tensor, labels: dict[str, Tensor], size: int) -> Tensor:
        """Crops (n, 3, size, size) that show a corner of a stored picture: background, an ear, half a cheek."""
        n = len(images)
        way = 2 * np.pi * torch.rand(n, generator=self.generator)
        away = 0.55 + 0.3 * torch.rand(n, generator=self.generator)
        centre = labels["centre"] + (labels["side"] * away)[:, None] * torch.stack([way.cos(), way.sin()], 1)
        side = labels["side"] * (0.25 + 0.6 * torch.rand(n, generator=self.generator))
        return cut(images, centre, side, torch.zeros(n), size)

    def look(self, images: Tensor) -> Tensor:
        """Some of them (:data:`CHANGED`) changed in exposure, colour, sharpness, noise, and partly hidden."""
        rows = torch.rand(len(images), generator=self.generator) < CHANGED
        out = images.clone()
        if rows.any():
            out[rows] = self._changed(images[rows])
        return out

    def _changed(self, images: Tensor) -> Tensor:
        n, g = len(images), self.generator

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g)

        def some(share: float) -> Tensor:
            return torch.rand(n, generator=g) < share

        x = images * (1 + 0.15 * normal(n, 1, 1, 1) + 0.06 * normal(n, 3, 1, 1)) + 0.06 * normal(n, 1, 1, 1)
        middle = x.mean((1, 2, 3), keepdim=True)
        x = (middle + (x - middle) * (0.25 * normal(n, 1, 1, 1)).exp()).clamp(0, 1)
        grey = some(0.15)
        x[grey] = x[grey].mean(1, keepdim=True).expand(-1, 3, -1, -1)
        soft = some(0.35)
        x[soft] = F.avg_pool2d(F.pad(x[soft], (1, 1, 1, 1), mode="replicate"), 3, 1)
        coarse = some(0.12)
        if coarse.any():
            scale = float(0.35 + 0.5 * torch.rand((), generator=g))
            small = F.interpolate(x[coarse], scale_factor=scale, mode="bilinear", antialias=True)
            x[coarse] = F.interpolate(small, size=x.shape[-2:], mode="bilinear")
        x = x + 0.03 * normal(n, 1, 1, 1).abs() * normal(*x.shape)
        for row in some(0.12).nonzero()[:, 0].tolist():
            w, h = (int(k) for k in (images.shape[-1] * (0.08 + 0.25 * torch.rand(2, generator=g))))
            left, top = (int(k) for k in (torch.rand(2, generator=g) * (images.shape[-1] - max(w, h))))
            x[row, :, top : top + h, left : left + w] = torch.rand(3, 1, 1, generator=g)
        return x.clamp(0, 1)


def about_x(angle: Tensor) -> Tensor:
    """Rotations (n, 3, 3) about the line of sight by angles (n,), as a turn of the square has them."""
    zero, one, cosine, sine = torch.zeros_like(angle), torch.ones_like(angle), angle.cos(), angle.sin()
    return torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], 1).unflatten(1, (3, 3))


def cut(images: Tensor, centre: Tensor, side: Tensor, turn: Tensor, size: int) -> Tensor:
    """Squares (n, 3, size, size) in [0, 1] of uint8 pictures: :func:`media2face.runtime.face_crop.cut` for batches."""
    cosine, sine = turn.cos(), turn.sin()
    scale = (side / SIZE)[:, None]
    offset = (centre + 0.5) / SIZE * 2 - 1
    affine = torch.cat([scale * torch.stack([cosine, -sine], 1), offset[:, :1],
                        scale * torch.stack([sine, cosine], 1), offset[:, 1:]], 1).unflatten(1, (2, 3))  # fmt: skip
    grid = F.affine_grid(affine, [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images.float() / 255.0, grid, mode="bilinear", padding_mode="border", align_corners=False)
