"""Where G_geo and E_geo of ``linear_basis`` start: the rig, the people of the training split, and the set's own rules.

A network started at random needs days to find what is known: shapes are linear, people's shapes follow lengths in
their faces and the way their skin is stretched, correctives are products of two weights, lips and eyes touch. Bases and
readings are solved for (least squares, principal axes); how a person's numbers decide gains and directions is learned
here by small MLPs from thousands of people's measures, which cost no maps. Training then works on what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from media2face.data.correctives import CLOSED_CM, CORNEA_BULGE, CORNEA_DEG, EYE_RADIUS, LID_CM, OPEN_CM
from media2face.data.personal_shapes import MEASURES, company_pairs
from media2face.data.range_of_motion import PRESSURE, PRESSURE_LIMIT, RangeOfMotion
from media2face.data.rom_maps import LIP_MARKS, MapMaker, RomMaps
from media2face.models.gnpfa.networks import GNPFA, READ_TEXELS
from media2face.models.gnpfa.person import NEUTRAL_SCALE_CM, IdentityCode, Turning, fit_linear, turned
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.eyes import eye_angles
from media2face.training.gnpfa_crowd import BLINKS, Crowd, learn

_LOG_VARIANCE = -9.0


class Faces(Protocol):
    """The set that is trained on, see ``train_gnpfa.FaceMaps``."""

    maker: MapMaker
    set: RomMaps
    contact: nn.Module

    def rows(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...

    def seen(self, offsets: Tensor) -> Tensor: ...


class Space:
    """M as a linear map: z = w @ ``forth`` + ``origin``, w = z @ ``back`` + ``rest``; ``free`` (D - K, D) is unused."""

    def __init__(self, model: GNPFA, weights: Tensor) -> None:
        with torch.no_grad():
            z = model.to_latent(weights).double()
        known = torch.cat([weights.double(), torch.ones(len(weights), 1, dtype=z.dtype)], dim=1)
        solved = torch.linalg.lstsq(known, z, driver="gelsd").solution
        forth, origin = solved[:-1], solved[-1]
        back = torch.linalg.pinv(forth)
        self.forth, self.origin = forth.float(), origin.float()
        self.back, self.rest = back.float(), -(origin @ back).float()
        self.free = torch.linalg.svd(forth)[2][len(forth) :].float()


def start_turning(turn: Turning, crowd: Crowd, matrices: Tensor, code: Tensor, steps: int) -> float:
    """Patterns of the crowd, and their amounts from matrices (n, places, 3, 3); returns :func:`learn`'s error."""
    maps = torch.from_numpy(crowd.rom.atlas.to_map(crowd.patterns[:, :, None]))
    size = torch.from_numpy(crowd.patterns).norm(dim=1, keepdim=True) / len(crowd.patterns[0]) ** 0.5
    turn.patterns.copy_(F.adaptive_avg_pool2d(maps, turn.size).flatten(1) / size)
    at = torch.from_numpy(crowd.patterns[:, crowd.places]) / size
    amounts = (matrices - torch.eye(3)).flatten(2).transpose(1, 2) @ torch.linalg.pinv(at)
    return learn(turn.amount, code, amounts.flatten(1), steps)


def start(model: GNPFA, maps: Faces, weights: Tensor, people: int = 6000, steps: int = 6000) -> None:
    """Start E_geo and G_geo, M and M' being known.

    Args:
        model: changed in place.
        maps: the set that is trained on.
        weights: (n, 52) realistic faces, thousands.
        people, steps: how many people's measures, and how long the MLPs learn from them (E_geo's a third of it).
    """
    with torch.no_grad():
        space, crowd = Space(model, weights), Crowd(maps.maker, people, model.cfg.turns)
        start_generator(model, space, crowd, steps)
        start_free(model, space, maps)
        start_encoder(model, space, crowd, steps // 3)
        start_reading(model, space, maps)


def start_free(model: GNPFA, space: Space, maps: Faces, faces: int = 1200, size_cm: float = 0.01) -> None:
    """Give the dimensions of z that M does not use to the principal axes of what G_geo leaves over.

    ``size_cm``: how far a step of 1 along each moves the texels (root mean square).
    """
    part, left = model.generator, []
    for weights, neutral, offsets, heights in _batches(maps, faces):
        made = maps.contact(part(neutral, model.to_latent(weights), False), heights)
        left.append((offsets - made).flatten(1))
    axes = torch.linalg.svd(torch.cat(left), full_matrices=False)[2][: len(space.free)]
    axes = axes * (size_cm * (axes.shape[1] / 3) ** 0.5)
    size = space.free.shape[1]
    added = axes.T - part.basis.weight[:, :size] @ space.free.T[:, : len(axes)]
    part.basis.weight[:, :size] += added @ space.free[: len(axes)]
    part.basis.bias -= added @ (space.free[: len(axes)] @ space.origin)


def start_reading(model: GNPFA, space: Space, maps: Faces, faces: int = 7000, ridge: float = 3e-4) -> None:
    """E_geo's basis: the best linear reading of the weights as this person shows them, over faces of the set."""
    part, made = model.encoder, model.generator
    sums: list[Tensor] = []
    for weights, neutral, offsets, _ in _batches(maps, faces):
        scaled = neutral / NEUTRAL_SCALE_CM
        seen = turned(F.avg_pool2d(maps.seen(offsets), READ_TEXELS), part.turn(part.identity(scaled))).flatten(1)
        z = model.to_latent(weights)
        own = made.mix(z, made.identity(scaled)) + made.pairs(z)[:, : z.shape[1]]
        x = torch.cat([seen, torch.ones(len(z), 1)], dim=1)
        new = [x.T @ x, x.T @ (own @ space.back + space.rest)]
        sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
    square, product = (m.double() for m in sums)
    weight = ridge * (square.diagonal()[:-1] - square[-1, :-1] ** 2 / square[-1, -1]).mean()
    square.diagonal()[:-1].add_(weight)
    reading = torch.linalg.solve(square, product).float()
    part.basis.weight.copy_((reading[:-1] @ space.forth).T)
    part.basis.bias.copy_(reading[-1] @ space.forth + space.origin)


def _batches(maps: Faces, faces: int, size: int = 128) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    count = len(maps.set.weights)
    rows = np.random.default_rng(0).choice(count, min(faces, count), replace=False)
    for first in range(0, len(rows), size):
        yield maps.rows(rows[first : first + size])


def start_generator(model: GNPFA, space: Space, crowd: Crowd, steps: int) -> None:
    """G_geo from the rig and the crowd."""
    part, rom, cfg = model.generator, crowd.rom, model.cfg
    code = start_identity(part.identity, crowd)
    deltas = torch.from_numpy(rom.atlas.to_map(rom.deltas)).flatten(1)
    axes = start_pairs(part.pairs, rom, space, deltas, cfg.folds)
    part.basis.weight.copy_(torch.cat([space.back @ deltas, axes]).T)
    part.basis.bias.copy_(space.rest @ deltas)
    pairs = gate_pairs(cfg.gates)
    part.mix.start(space.forth, space.back, space.rest, pairs)
    gains = torch.from_numpy(crowd.mixing - np.eye(len(deltas), dtype=np.float32))
    gains = gains[(slice(None), *zip(*pairs, strict=True))]
    error = learn(part.mix.gain, code, padded(gains, cfg.gates), steps)
    print(f"G_geo: strengths known to {error:.3f} of their spread")
    error = start_turning(part.turn, crowd, torch.from_numpy(crowd.turning), code, steps)
    print(f"G_geo: directions known to {error:.3f} of their spread")
    start_lips(part.lips, crowd, space, code)
    start_lids(part.lids, crowd, space, code)


def start_encoder(model: GNPFA, space: Space, crowd: Crowd, steps: int) -> None:
    """E_geo as the inverse of what G_geo starts from."""
    part, rom, cfg = model.encoder, crowd.rom, model.cfg
    code = start_identity(part.identity, crowd)
    pairs = gate_pairs(cfg.gates)
    part.mix.start(space.forth, space.back, space.rest, pairs)
    inverse = torch.linalg.inv(torch.from_numpy(crowd.mixing)) - torch.eye(len(space.rest))
    inverse = inverse[(slice(None), *zip(*pairs, strict=True))]
    learn(part.mix.gain, code, padded(inverse, cfg.gates), steps)
    start_turning(part.turn, crowd, torch.linalg.inv(torch.from_numpy(crowd.turning)), code, steps)
    deltas = torch.from_numpy(rom.atlas.to_map(rom.deltas)).flatten(1)
    start_pairs(part.pairs, rom, space, deltas, 0)
    part.head.bias[cfg.latent_dim :] = _LOG_VARIANCE


def start_identity(identity: IdentityCode, crowd: Crowd) -> Tensor:
    """Axes and lengths; returns the crowd's code (n, C)."""
    ends = [(a, b) for pairs in MEASURES.values() for a, b in pairs]
    spans = torch.from_numpy(crowd.landmarks[:, [a for a, _ in ends]] - crowd.landmarks[:, [b for _, b in ends]])
    pooled = crowd.pooled()
    identity.start(pooled, spans)
    return identity.of_pooled(pooled)


def start_pairs(pairs: nn.Module, rom: RangeOfMotion, space: Space, deltas: Tensor, folds: int) -> Tensor:
    """Products of the correctives: the shapes' part of their fields, and axes (folds, 3 H W) of what is beside them."""
    fields = torch.from_numpy(rom.atlas.to_map(rom.combinations.fields)).flatten(1)
    count = min(pairs.left.out_features, len(fields))
    for k, (left, right) in enumerate(rom.combinations.products()[:count]):
        for reading, (columns, scale, shift) in ((pairs.left, left), (pairs.right, right)):
            reading.weight[k] = scale * space.back[:, columns].mean(1)
            reading.bias[k] = scale * space.rest[columns].mean() + shift
    square = deltas @ deltas.T
    square += 1e-4 * square.diagonal().mean() * torch.eye(len(square))
    shares = torch.linalg.solve(square, deltas @ fields[:count].T).T  # (count, 52)
    pairs.writes.weight.zero_()
    size = space.forth.shape[1]
    pairs.writes.weight[:size, :count] = (shares @ space.forth).T
    scores, spread, axes = torch.linalg.svd(fields[:count] - shares @ deltas, full_matrices=False)
    kept = min(folds, len(axes))
    made = torch.zeros(folds, fields.shape[1])
    made[:kept] = axes[:kept] * spread[:kept, None] / count**0.5
    pairs.writes.weight[size : size + kept, :count] = (scores[:, :kept] * count**0.5).T
    return made


def start_lips(lips: nn.Module, crowd: Crowd, space: Space, code: Tensor) -> None:
    """Contact and pressure as the set has them."""
    rom, maker = crowd.rom, crowd.maker
    lips.points.copy_(torch.from_numpy(maker.lips.toarray()))
    lips.seal.copy_(torch.from_numpy(maker.seal).flatten(1))
    gaps = torch.from_numpy(rom.gaps(rom.deltas))
    lips.shared.weight.copy_((space.back @ gaps).T)
    lips.shared_rest.copy_(torch.from_numpy(rom.rest_gap))
    lips.shared.bias.copy_(space.rest @ gaps + lips.shared_rest)
    fit_linear(lips.rest, code, torch.from_numpy(crowd.landmarks[:, list(LIP_MARKS), 1]))
    known = {"closed": CLOSED_CM, "span": OPEN_CM - CLOSED_CM, "press": PRESSURE, "most": PRESSURE_LIMIT}
    for name, value in known.items():
        getattr(lips, name).fill_(value)


def start_lids(lids: nn.Module, crowd: Crowd, space: Space, code: Tensor) -> None:
    """Lids that meet, and the drawn eyeball, as the set has them."""
    rom, maker, rig = crowd.rom, crowd.maker, crowd.rom.rig
    sampler = rom.atlas.sampler
    marks = rom.lid_marks
    points = [sum(sampler[a] - sampler[b] for a, b in eye) / len(eye) for eye in marks]
    lids.points.copy_(torch.from_numpy(np.concatenate([p.toarray() for p in points])))
    blinks = rom.deltas[list(BLINKS)]
    closing = np.abs(rom.lid_gaps(blinks).diagonal())[:, None, None]
    lids.blinks.copy_(torch.from_numpy(rom.atlas.to_map(blinks / closing)).flatten(1))
    whole = np.zeros((len(crowd.landmarks), len(rom.vertices), 3), np.float32)
    whole[:, rom.landmarks] = crowd.landmarks
    fit_linear(lids.gaps, code, torch.from_numpy(rom.lid_gaps(whole)))
    around = np.stack([np.asarray(sampler[skin].sum(axis=0)).ravel() > 0 for skin in rom.lids.skin]).astype(np.float32)
    around[1] *= 1.0 - around[0]
    lids.around.copy_(torch.from_numpy(around))
    places = (maker.raster @ rig.neutral[rom.vertices]).T
    middle = crowd.centres_mean.T @ around
    lids.arms.copy_(torch.from_numpy((places - middle) * around.sum(axis=0)).float())
    moved = torch.from_numpy(crowd.centres - crowd.centres_mean).transpose(1, 2).flatten(1)
    fit_linear(lids.centres, code[: len(moved)], moved, 1e-4)
    shapes = np.eye(len(space.rest), dtype=np.float32)
    angles = np.stack([eye_angles(shapes, side) for side in ("left", "right")], axis=2)  # (52, yaw and pitch, eyes)
    angles = torch.from_numpy(angles).flatten(1)
    lids.gaze.weight.copy_((space.back @ angles).T)
    lids.gaze.bias.copy_(space.rest @ angles)
    known = {"radius": EYE_RADIUS + LID_CM, "cornea": CORNEA_BULGE, "narrow": np.radians(CORNEA_DEG) ** -2}
    for name, value in known.items():
        getattr(lids, name).fill_(value)


def gate_pairs(gates: int) -> list[tuple[int, int]]:
    """(read, written) shapes of each gate: a shape's own strength, then what it takes along."""
    return ([(k, k) for k in range(len(ARKIT_INDEX))] + company_pairs())[:gates]


def padded(values: Tensor, columns: int) -> Tensor:
    return F.pad(values, (0, columns - values.shape[1]))
