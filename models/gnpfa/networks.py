"""Networks of GNPFA (Media2Face, Zhao et al. 2024, section 3.1); see README.md for the differences.

Shapes: B batch, D latent, K = 52 blendshapes, maps (B, 3, H, W) in centimetres on the atlas of
``data.geometry_maps``. An expression is an offset map; a neutral is given as its difference from the mean identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import GNPFAConfig

NEUTRAL_SCALE_CM = 0.5
"""Neutrals differ from the mean identity by about this much; inputs are divided by it."""


class MapEncoder(nn.Module):
    """Strided convolutions; returns the features of every level, finest first."""

    def __init__(self, in_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = (in_channels, *channels)
        self.levels = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for level in self.levels:
            x = F.silu(level(x))
            features.append(x)
        return features


class IdentityMix(nn.Module):
    """How an identity shows its expressions: z + sum_j g_j(neutral) A_j z, with a few matrices A_j and gains g_j.

    Gains come from the coarsest features of the neutral; they start at zero.
    """

    def __init__(self, features: int, latent_dim: int, matrices: int) -> None:
        super().__init__()
        self.gain = nn.Linear(features, matrices)
        self.matrices = nn.Linear(latent_dim, matrices * latent_dim)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.gain.bias)

    def forward(self, z: Tensor, features: Tensor) -> Tensor:
        """z (B, D), features (B or 1, C, h, w) -> (B, D)."""
        gain = self.gain(features.flatten(1))[:, :, None]
        return z + (gain * self.matrices(z).unflatten(1, (gain.shape[1], z.shape[1]))).sum(dim=1)


class GeometryEncoder(nn.Module):
    """E_geo: an expression (and its neutral) to mean and log variance of z, each (B, D)."""

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.sees_neutral = cfg.encoder_sees_neutral
        self.body = MapEncoder(6 if self.sees_neutral else 3, cfg.encoder_channels)
        rows, columns = cfg.base
        self.head = nn.Linear(cfg.encoder_channels[-1] * rows * columns, 2 * cfg.latent_dim)
        self.basis = None
        if cfg.linear_basis:
            self.basis = nn.Linear(3 * cfg.height * cfg.width, cfg.latent_dim)
            nn.init.normal_(self.head.weight, std=1e-3)
            self.neutral = MapEncoder(3, cfg.mix_channels)
            scale = 2 ** len(cfg.mix_channels)
            size = cfg.mix_channels[-1] * (cfg.height // scale) * (cfg.width // scale)
            self.mix = IdentityMix(size, cfg.latent_dim, cfg.mix_matrices)

    def forward(self, offset: Tensor, neutral: Tensor) -> tuple[Tensor, Tensor]:
        neutral = neutral / NEUTRAL_SCALE_CM
        x = torch.cat([offset, neutral], 1) if self.sees_neutral else offset + neutral * NEUTRAL_SCALE_CM
        mean, log_variance = self.head(self.body(x)[-1].flatten(1)).chunk(2, dim=1)
        if self.basis is not None:
            mean = mean + self.mix(self.basis(offset.flatten(1)), self.neutral(neutral)[-1])
        return mean, log_variance.clamp(-10.0, 4.0)


class GeometryGenerator(nn.Module):
    """G_geo: a neutral and z to the expression's offset map, a UNet whose left arm reads the neutral alone.

    The left arm's features enter the right arm through 1 x 1 convolutions and a sum. They depend on the identity only,
    so one neutral (batch 1) serves any number of frames, and its cost is paid once per call.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.cfg = cfg
        channels = cfg.generator_channels
        self.neutral = MapEncoder(3, channels)
        rows, columns = cfg.base
        self.start = nn.Linear(cfg.latent_dim, channels[-1] * rows * columns)
        self.skips = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels)
        self.ups = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.modulation = nn.Linear(cfg.latent_dim, 2 * sum(channels))
        self.head = nn.Conv2d(channels[0], 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.basis = None
        if cfg.linear_basis:
            self.basis = nn.Linear(cfg.latent_dim, 3 * cfg.height * cfg.width)
            self.mix = IdentityMix(channels[-1] * rows * columns, cfg.latent_dim, cfg.mix_matrices)

    def forward(self, neutral: Tensor, z: Tensor) -> Tensor:
        """neutral (B or 1, 3, H, W), z (B, D) -> offsets (B, 3, H, W) cm."""
        channels = self.cfg.generator_channels
        seen = self.neutral(neutral / NEUTRAL_SCALE_CM)
        left = [skip(f) for skip, f in zip(self.skips, seen, strict=True)]
        turns = self.modulation(z)[:, :, None, None].split([2 * c for c in channels], dim=1)
        x = self.start(z).unflatten(1, (channels[-1], *self.cfg.base))
        for level in reversed(range(len(channels))):
            if level < len(channels) - 1:
                x = self.ups[len(channels) - 2 - level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
            scale, shift = turns[level].chunk(2, dim=1)
            x = F.silu((x + left[level]) * (1 + scale) + shift)
        out = F.pixel_shuffle(self.head(x), 2)
        if self.basis is not None:
            out = out + self.basis(self.mix(z, seen[-1])).unflatten(1, (3, self.cfg.height, self.cfg.width))
        return out


class Mapping(nn.Module):
    """M or M': an affine map and a residual MLP that starts at zero."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.affine = nn.Linear(inputs, outputs)
        self.residual = nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))
        nn.init.zeros_(self.residual[-1].weight)
        nn.init.zeros_(self.residual[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.affine(x) + self.residual(x)


class GNPFA(nn.Module):
    """The four networks together: ``encoder`` E_geo, ``generator`` G_geo, ``to_latent`` M, ``to_weights`` M'."""

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = GeometryEncoder(cfg)
        self.generator = GeometryGenerator(cfg)
        self.to_latent = Mapping(cfg.shapes, cfg.latent_dim, cfg.mapping_width)
        self.to_weights = Mapping(cfg.latent_dim, cfg.shapes, cfg.mapping_width)

    @torch.no_grad()
    def start_mappings(self, spread: Tensor) -> None:
        """Start M from a matrix (D, K), see ``losses.latent_axes``, and M' from its inverse."""
        self.to_latent.affine.weight.copy_(spread)
        self.to_latent.affine.bias.zero_()
        self.to_weights.affine.weight.copy_(torch.linalg.pinv(spread))
        self.to_weights.affine.bias.zero_()

    @torch.no_grad()
    def start_basis(self, weights: Tensor, offsets: Tensor) -> None:
        """Start the linear parts of E_geo and G_geo: the best affine maps between M's z and the rig's offsets.

        Args:
            weights: (n, K) realistic faces.
            offsets: (K, 3, H, W) offset map of each shape on the mean identity, cm.
        """
        z = self.to_latent(weights)
        one = torch.ones(len(z), 1)
        flat = offsets.flatten(1)
        back = torch.linalg.lstsq(torch.cat([z, one], 1), weights, driver="gelsd").solution
        self.generator.basis.weight.copy_((back[:-1] @ flat).T)
        self.generator.basis.bias.copy_(back[-1] @ flat)
        gram = flat @ flat.T
        read = torch.linalg.solve(gram + 1e-6 * torch.linalg.eigvalsh(gram)[-1] * torch.eye(len(gram)), flat)
        forth = torch.linalg.lstsq(torch.cat([weights, one], 1), z, driver="gelsd").solution
        self.encoder.basis.weight.copy_(forth[:-1].T @ read)
        self.encoder.basis.bias.copy_(forth[-1])
