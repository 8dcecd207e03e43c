"""Networks of GNPFA (Media2Face, Zhao et al. 2024, section 3.1); see README.md for the differences.

Shapes: B batch, D latent, K = 52 blendshapes, maps (B, 3, H, W) in centimetres on the atlas of
``data.geometry_maps``. An expression is an offset map; a neutral is given as its difference from the mean identity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import GNPFAConfig
from .person import NEUTRAL_SCALE_CM, IdentityCode, IdentityMix, Pairs, Turning, turned
from .touch import Lids, Lips

UNDOING = 3
"""How often E_geo takes back what pairs of shapes did, from a better guess each time."""
READ_TEXELS = 2
"""E_geo's basis reads maps averaged over so many texels each way."""


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


class GeometryEncoder(nn.Module):
    """E_geo: an expression (and its neutral) to mean and log variance of z, each (B, D).

    With ``linear_basis`` the convolutions add to a reading that undoes what G_geo does: vectors turned back, read
    linearly, the person's mixing and the pairs' part taken back.
    """

    def __init__(self, cfg: GNPFAConfig) -> None:
        super().__init__()
        self.sees_neutral = cfg.encoder_sees_neutral
        self.body = MapEncoder(6 if self.sees_neutral else 3, cfg.encoder_channels)
        rows, columns = cfg.base
        self.head = nn.Linear(cfg.encoder_channels[-1] * rows * columns, 2 * cfg.latent_dim)
        self.basis = None
        if cfg.linear_basis:
            nn.init.normal_(self.head.weight, std=1e-3)
            texels = (cfg.height // READ_TEXELS) * (cfg.width // READ_TEXELS)
            self.basis = nn.Linear(3 * texels, cfg.latent_dim)
            self.identity = IdentityCode(cfg)
            self.turn = Turning(cfg, READ_TEXELS)
            self.mix = IdentityMix(cfg)
            self.pairs = Pairs(cfg, 0)

    def forward(self, offset: Tensor, neutral: Tensor) -> tuple[Tensor, Tensor]:
        neutral = neutral / NEUTRAL_SCALE_CM
        if self.sees_neutral:
            x = torch.cat([offset, neutral.expand_as(offset)], dim=1)
        else:
            x = offset + neutral * NEUTRAL_SCALE_CM
        mean, log_variance = self.head(self.body(x)[-1].flatten(1)).chunk(2, dim=1)
        if self.basis is not None:
            mean = mean + self.read(offset, neutral)
        return mean, log_variance.clamp(-10.0, 4.0)

    def read(self, offset: Tensor, neutral: Tensor) -> Tensor:
        """z (B, D) without the convolutions; ``neutral`` divided by its scale."""
        code = self.identity(neutral)
        own = self.basis(turned(F.avg_pool2d(offset, READ_TEXELS), self.turn(code)).flatten(1))
        z = self.mix(own, code)
        for _ in range(UNDOING):
            z = self.mix(own - self.pairs(z), code)
        return z


class GeometryGenerator(nn.Module):
    """G_geo: a neutral and z to the expression's offset map, a UNet whose left arm reads the neutral alone.

    The left arm's features enter the right arm through 1 x 1 convolutions and a sum. They depend on the identity only,
    so one neutral (batch 1) serves any number of frames, and its cost is paid once per call.

    With ``linear_basis`` the UNet adds to a map that is linear in coordinates which are not: z mixed by the person
    (:class:`~.person.IdentityMix`) and products of its readings (:class:`~.person.Pairs`). The person's build turns the
    vectors (:class:`~.person.Turning`), and lips and lids touch (``touch.py``).
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
        for part in (self.head, self.modulation):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        self.basis = None
        if cfg.linear_basis:
            self.basis = nn.Linear(cfg.latent_dim + cfg.folds, 3 * cfg.height * cfg.width)
            self.identity = IdentityCode(cfg)
            self.mix = IdentityMix(cfg)
            self.pairs = Pairs(cfg, cfg.folds)
            self.turn = Turning(cfg)
            self.lips, self.lids = Lips(cfg), Lids(cfg)

    def forward(self, neutral: Tensor, z: Tensor, details: bool = True) -> Tensor:
        """neutral (B or 1, 3, H, W), z (B, D) -> offsets (B, 3, H, W) cm; without ``details`` the UNet is left out."""
        scaled = neutral / NEUTRAL_SCALE_CM
        if self.basis is None:
            return self._unet(scaled, z)
        code = self.identity(scaled)
        made = turned(self._flesh(z, code), self.turn(code))
        if details:
            made = made + self._unet(scaled, z)
        return self.lids(self.lips(made, z, code), neutral, z, code)

    def _unet(self, neutral: Tensor, z: Tensor) -> Tensor:
        channels = self.cfg.generator_channels
        left = [skip(f) for skip, f in zip(self.skips, self.neutral(neutral), strict=True)]
        turns = self.modulation(z)[:, :, None, None].split([2 * c for c in channels], dim=1)
        x = self.start(z).unflatten(1, (channels[-1], *self.cfg.base))
        for level in reversed(range(len(channels))):
            if level < len(channels) - 1:
                x = self.ups[len(channels) - 2 - level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
            scale, shift = turns[level].chunk(2, dim=1)
            x = F.silu((x + left[level]) * (1 + scale) + shift)
        return F.pixel_shuffle(self.head(x), 2)

    def _flesh(self, z: Tensor, code: Tensor) -> Tensor:
        coordinates = F.pad(self.mix(z, code), (0, self.cfg.folds)) + self.pairs(z)
        return self.basis(coordinates).unflatten(1, (3, self.cfg.height, self.cfg.width))


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
