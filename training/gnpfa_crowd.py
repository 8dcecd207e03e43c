"""What the people of the training split decide, without their meshes: measures in, strengths and directions out.

Thousands of people cost a minute here; their expressions as maps would cost hours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from media2face.data.range_of_motion import sample_identities
from media2face.data.rig import PARTS, eye_centre
from media2face.data.rom_maps import MapMaker
from media2face.models.gnpfa.person import NEUTRAL_SCALE_CM, Amounts, fit_linear
from media2face.runtime.arkit import ARKIT_INDEX

BLINKS = tuple(ARKIT_INDEX[f"eyeBlink{side}"] for side in ("Left", "Right"))
_CHUNK = 250
_MEAN_EVERY = 20  # of the crowd the mean identity, the first among them
_PATTERN_PEOPLE, _PLACES = 60, 300


class Crowd:
    """Measures of many people of the training split, without their meshes.

    Attributes:
        landmarks: (n, 68, 3) cm; ``neutrals`` (n, 3, h, w) averaged over 4 x 4 texels, cm.
        mixing: (n, 52, 52); ``turning`` (n, places, 3, 3) at ``places`` among the mapped vertices.
        patterns: (turns, V) over the mapped vertices, orthonormal: what turning is made of.
        centres: (n, 2, 3) cm of the eyes.
    """

    def __init__(self, maker: MapMaker, people: int, turns: int) -> None:
        self.rom, self.maker = maker.rom, maker
        rom, rig, shapes = maker.rom, maker.rom.rig, maker.rom.shapes
        who = sample_identities(people, "train", len(rig.identity))
        who[::_MEAN_EVERY] = 0.0
        self.landmarks = rig.neutral[rig.landmarks] + np.einsum(
            "pk,kvc->pvc", who, rig.identity[:, rig.landmarks].astype(np.float32)
        )
        modes = rig.identity[:, rom.vertices].astype(np.float32)
        height, width = rom.atlas.height, rom.atlas.width
        maps = np.stack([(maker.raster @ m).T.reshape(3, height, width) for m in modes])
        self.modes = torch.from_numpy(maps)
        self.coefficients = torch.from_numpy(who)
        balls = [rig.identity[:, slice(*PARTS[f"eye_{s}"])].astype(np.float32) for s in ("left", "right")]
        rests = [rig.neutral[slice(*PARTS[f"eye_{s}"])] for s in ("left", "right")]
        some = [np.stack([eye_centre(r + np.einsum("k,kvc->vc", w, b)) for b, r in zip(balls, rests, strict=True)])
                for w in who[:300]]  # fmt: skip
        self.centres, self.centres_mean = np.stack(some), np.stack([eye_centre(r) for r in rests])
        gather = np.stack([shapes.slopes(m) for m in modes])  # (modes, anchors, 9)
        measures = shapes.measures(self.landmarks)
        spread, fields = shapes.blur[1], shapes.turn_fields

        def turning(people: slice, places: np.ndarray) -> np.ndarray:
            slope = np.tensordot(who[people], gather, 1)
            slope = np.einsum("va,pac->pvc", spread[places], slope, optimize=True)
            return shapes.turned(slope.reshape(*slope.shape[:2], 3, 3), measures[people], fields[places])

        everywhere = np.arange(len(spread))
        some = np.concatenate([turning(slice(k, k + 4), everywhere) for k in range(1, 1 + _PATTERN_PEOPLE, 4)])
        rows = (some - np.eye(3)).transpose(0, 2, 3, 1).reshape(-1, len(spread)).astype(np.float32)
        values, vectors = np.linalg.eigh(rows @ rows.T)
        top = np.argsort(values)[::-1][:turns]
        self.patterns = (vectors[:, top] / np.sqrt(values[top])).T.astype(np.float32) @ rows
        self.places = np.random.default_rng(0).choice(len(spread), min(_PLACES, len(spread)), replace=False)
        self.turning = np.concatenate(
            [turning(slice(k, k + _CHUNK), self.places) for k in range(0, people, _CHUNK)]
        )  # fmt: skip
        self.mixing = shapes.mixing(self.landmarks)
        self._shut_eyes()

    def _shut_eyes(self) -> None:
        """A full blink shuts this person's eye, as ``RangeOfMotion.person`` has it; directions hardly turn at lids."""
        rom = self.rom
        at = rom.landmarks
        whole = np.zeros((len(self.landmarks), len(rom.vertices), 3), np.float32)
        whole[:, at] = self.landmarks
        opening = rom.lid_gaps(whole)
        closing = rom.lid_gaps(rom.deltas)  # (52, 2)
        for eye, k in enumerate(BLINKS):
            gain = (rom.shut_gaps[eye] - opening[:, eye]) / (self.mixing[:, k] @ closing[:, eye])
            self.mixing[:, k] *= gain[:, None]

    def pooled(self) -> Tensor:
        """(n, 3, H, W) / (4 x 4): neutrals for :class:`IdentityCode`, in its units, as if they were whole maps."""
        return torch.einsum("pk,kchw->pchw", self.coefficients, F.avg_pool2d(self.modes, 4)) / NEUTRAL_SCALE_CM


@torch.enable_grad()
def learn(net: Amounts, x: Tensor, y: Tensor, steps: int, batch: int = 256) -> float:
    """Teach ``net`` y (n, outputs) from x (n, C): the linear part is solved for, the rest learned; exact in row 0.

    Returns:
        The error's share of y's spread on the last tenth, which is not learned from.
    """
    known = len(x) - max(len(x) // 10, 1)
    fit_linear(net.linear, x[:known], y[:known], 1e-3)
    with torch.no_grad():
        left = y - net.linear(x)
    scale = left.square().mean().sqrt().clamp_min(1e-9)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(steps, 1))
    for _ in range(steps):
        rows = torch.randint(known, (batch,))
        loss = (net.bent(net.hidden(x[rows])) - left[rows] / scale).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        net.bent.weight.mul_(scale)
        net.linear.bias.add_(y[0] - net(x[:1])[0])
        error = (net(x[known:]) - y[known:]).square().mean().sqrt()
        return (error / (y[known:] - y[known:].mean(0)).square().mean().sqrt().clamp_min(1e-9)).item()
