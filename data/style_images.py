"""Pictures that teach the style encoder: emoji in a thousand disguises, and pictures that must not move the face.

Noto Emoji (Apache-2.0) are put on other backgrounds, turned, scaled, recoloured, blurred and cropped. Photographs of
a neutral talker (GRID), plain gradients and noise stand for pictures without a style. All labels are in the form of
:func:`.style_corpus.label_of`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .style_corpus import label_of
from .styles import EMOJI, HELD_OUT_EMOJI, STYLES

_BALANCE = 0.12  # share of pictures without a style
_VIDEO_FRAMES = 3


def load_emoji(folder: str | Path, codes: list[str], size: int = 128) -> Tensor:
    """RGBA pictures (len(codes), 4, size, size) float32 in [0, 1].

    Raises:
        FileNotFoundError: if the folder lacks one; names where the pictures come from.
    """
    pictures = []
    for code in codes:
        path = Path(folder) / f"{code}.png"
        if not path.is_file():
            raise FileNotFoundError(f"expected {path}: Noto Emoji at 128 px (github.com/googlefonts/noto-emoji)")
        image = Image.open(path).convert("RGBA").resize((size, size), Image.Resampling.BICUBIC)
        pictures.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
    return torch.from_numpy(np.stack(pictures))


def load_portraits(folder: str | Path, clips: int = 60) -> Tensor:
    """Frames (n, 3, 128, 128) of GRID's neutral talker, a few of each of the first ``clips`` videos; may be empty."""
    import av

    frames = []
    for path in sorted(Path(folder).glob("*.mp4"))[:clips]:
        with av.open(str(path)) as video:
            for i, frame in enumerate(video.decode(video=0)):
                if i % 25 == 5:
                    image = frame.to_image().resize((128, 128), Image.Resampling.BICUBIC)
                    frames.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)
                if i > 25 * _VIDEO_FRAMES:
                    break
    return torch.from_numpy(np.stack(frames)) if frames else torch.empty(0, 3, 128, 128)


class StyleImages:
    """Draws labelled pictures (B, 3, size, size) in [0, 1].

    Args:
        data: folder with ``emoji/`` and, if there, ``grid_s1/``.
        size: side in pixels.
        split: ``train`` or ``held_out`` emoji.
    """

    def __init__(self, data: str | Path, size: int = 64, split: str = "train") -> None:
        self.size = size
        self.codes = [c for c in EMOJI if (c in HELD_OUT_EMOJI) == (split == "held_out")]
        self.pictures = load_emoji(Path(data) / "emoji", self.codes)
        portraits = load_portraits(Path(data) / "grid_s1")
        part = len(portraits) * 4 // 5
        self.portraits = portraits[:part] if split == "train" else portraits[part:]
        self.by_style = {s: [i for i, c in enumerate(self.codes) if EMOJI[c][0] == s] for s in STYLES}

    @staticmethod
    def without_style_of(count: int) -> int:
        """How many of ``count`` drawn pictures show nothing of the kind; they come last."""
        return int(round(count * _BALANCE))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(pictures (count, 3, size, size), labels (count, 15)); styles are equally frequent."""
        torch_rng = torch.Generator().manual_seed(int(rng.integers(2**31)))
        empty = self.without_style_of(count)
        present = [s for s in STYLES if self.by_style[s]]
        chosen = [self.by_style[s][int(rng.integers(len(self.by_style[s])))]
                  for s in (present[int(rng.integers(len(present)))] for _ in range(count - empty))]  # fmt: skip
        images = disguise(self.pictures[chosen], self.size, torch_rng)
        labels = [label_of(*EMOJI[self.codes[i]]) for i in chosen] + [label_of("neutral", 1.0)] * empty
        without = distort(self.without_style(empty, torch_rng), self.size, torch_rng)
        return torch.cat([images, without]), torch.from_numpy(np.stack(labels))

    def without_style(self, count: int, rng: torch.Generator) -> Tensor:
        """Portraits of a neutral talker, gradients and noise (count, 3, 128, 128)."""
        pictures = backgrounds(count, 128, rng)
        if len(self.portraits):
            faces = self.portraits[torch.randint(len(self.portraits), (count,), generator=rng)]
            use = torch.rand(count, 1, 1, 1, generator=rng) < 0.4
            pictures = torch.where(use, faces, pictures)
        return pictures


def backgrounds(count: int, size: int, rng: torch.Generator) -> Tensor:
    """Plain colours, gradients and soft noise (count, 3, size, size) in [0, 1]."""
    plain = torch.rand(count, 3, 1, 1, generator=rng).expand(-1, -1, size, size)
    coarse = [int(c) if c < 12 else size for c in torch.randint(1, 14, (count,), generator=rng)]
    grids = [torch.rand(1, 3, c, c, generator=rng) for c in coarse]
    noisy = torch.cat([F.interpolate(g, (size, size), mode="bilinear") for g in grids])
    mix = (torch.rand(count, 1, 1, 1, generator=rng) * 2 - 0.6).clamp(0, 1)
    return plain * (1 - mix) + noisy * mix


def disguise(rgba: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """Emoji (B, 4, h, w) placed on backgrounds, then distorted: (B, 3, size, size)."""
    count = len(rgba)
    rgba = _affine(rgba, rgba.shape[-1], rng, scale=(0.6, 1.2), turn=0.45, move=0.2)
    colour = _recolour(rgba[:, :3] / rgba[:, 3:].clamp(min=1e-3), rng).clamp(0, 1)
    white = torch.rand(count, 1, 1, 1, generator=rng) < 0.3
    ground = torch.where(white, torch.ones(1), backgrounds(count, rgba.shape[-1], rng))
    return distort(colour * rgba[:, 3:] + ground * (1 - rgba[:, 3:]), size, rng, geometric=False)


def distort(images: Tensor, size: int, rng: torch.Generator, geometric: bool = True) -> Tensor:
    """Crop, exposure, blur and sensor noise: (B, 3, h, w) -> (B, 3, size, size) in [0, 1]."""
    if geometric:
        images = _affine(images, images.shape[-1], rng, scale=(0.9, 1.8), turn=0.3, move=0.3)
    images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    count = len(images)
    small = F.interpolate(images, scale_factor=0.4, mode="bilinear", antialias=True)
    small = F.interpolate(small, (size, size), mode="bilinear")
    images = torch.lerp(images, small, (torch.rand(count, 1, 1, 1, generator=rng) * 1.6 - 0.6).clamp(0, 1))
    gain = 0.6 + 0.8 * torch.rand(count, 1, 1, 1, generator=rng)
    bias = 0.3 * torch.rand(count, 1, 1, 1, generator=rng) - 0.15
    noise = torch.randn(images.shape, generator=rng) * 0.06 * torch.rand(count, 1, 1, 1, generator=rng)
    return ((images - 0.5) * gain + 0.5 + bias + noise).clamp(0, 1)


def _affine(images: Tensor, size: int, rng: torch.Generator, scale: tuple, turn: float, move: float) -> Tensor:
    """Random rotation (radians up to ``turn``), anisotropic scale, shift and mirror; premultiplied, zero outside."""
    count = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=rng)

    angle, zoom, stretch = uniform(-turn, turn), uniform(*scale), uniform(0.85, 1.18)
    mirror = torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.stack([
        torch.stack([mirror * cos / (zoom * stretch), -sin / zoom, uniform(-move, move)], -1),
        torch.stack([mirror * sin / (zoom * stretch), cos / zoom, uniform(-move, move)], -1),
    ], 1)  # fmt: skip
    if images.shape[1] == 4:
        images = torch.cat([images[:, :3] * images[:, 3:], images[:, 3:]], 1)
    grid = F.affine_grid(theta, [count, images.shape[1], size, size], align_corners=False)
    padding = "zeros" if images.shape[1] == 4 else "reflection"
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def _recolour(images: Tensor, rng: torch.Generator) -> Tensor:
    """Mix the colour channels at random; a fifth of the pictures become grey."""
    count = len(images)
    mix = torch.eye(3) + 0.35 * torch.randn(count, 3, 3, generator=rng)
    mix = mix / mix.sum(-1, keepdim=True).clamp(min=0.3)
    grey = torch.full((3, 3), 1 / 3)
    mix = torch.where(torch.rand(count, 1, 1, generator=rng) < 0.2, grey, mix)
    keep = torch.rand(count, 1, 1, generator=rng) < 0.35
    mix = torch.where(keep, torch.eye(3), mix)
    return torch.einsum("bij,bjhw->bihw", mix, images)
