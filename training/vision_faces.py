"""The frozen half of the vision encoders' training: M', G_geo, the rig's shapes and the differentiable renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from media2face.bodies.paint import paint
from media2face.data.face_asset import identity_neutral
from media2face.data.geometry_maps import FaceAtlas
from media2face.data.rig import INNER_LIP_PAIRS, PARTS, ICTRig, to_ros
from media2face.data.vision_set import LOOKS, PER_IDENTITY, identity_coefficients
from media2face.models.vision.losses import ShapeDistance
from media2face.models.vision.mesh import HeadMesh
from media2face.models.vision.renderer import Renderer
from media2face.onnx_export.shipped import shipped_generator, shipped_mapping
from media2face.runtime.arkit import MIRRORED
from media2face.runtime.face_crop import SIDE_M, face_middle
from media2face.runtime.rig_asset import RigAsset
from media2face.training.vision_batches import Batches

IDENTITIES = 48
"""Identities whose pictures are rendered anew; their rest meshes are kept in memory."""
GRID_DISTANCE = 1.2
"""Metres from GRID's camera, assumed."""
MARK_MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), *range(45, 41, -1), 47, 46,
    *range(39, 35, -1), 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip
"""Where each of the 68 Multi-PIE landmarks has its counterpart on the other side."""
SKIN_STEP = 7
"""One skin vertex in so many stands for the skin in the loss."""
_SKIN_FRAMES = 160


class FrozenFace:
    """Everything the losses need of GNPFA and the rig; nothing here learns.

    M' and G_geo are read from the files that ship.

    Args:
        data: folder of the ICT model.
        batches: for the colours of GRID's talker, learnt from training frames.
        size: side of the rendered pictures.
    """

    def __init__(self, data: Path, batches: Batches, size: int) -> None:
        self._to_weights, self._generator = shipped_mapping(), shipped_generator()
        ict, self.rig = ICTRig.load(data), RigAsset.load()
        atlas = FaceAtlas.build(ict, *self.rig.map_size)
        pick = np.concatenate([atlas.charted, np.arange(*PARTS["eyeballs"])])
        moves = ict.vertices(np.eye(52, dtype=np.float32), subset=pick) - ict.neutral[pick]
        importance = np.concatenate([atlas.importance, np.full(len(pick) - len(atlas.charted), 1.0, np.float32)])
        self.distance = ShapeDistance(torch.from_numpy(10 * moves), torch.from_numpy(importance))
        self._texels = torch.from_numpy(atlas.texel_weight)
        skin = np.arange(*PARTS["narrow_face"])
        self._moves = torch.from_numpy(10 * ict.deltas[:, skin])
        self._skin = torch.from_numpy(10 * ict.deltas[:, np.arange(*PARTS["face"])[::SKIN_STEP]]).flatten(1)
        lips = ict.landmarks[[i for pair in INNER_LIP_PAIRS for i in pair]]
        height = 10 * ict.deltas[:, lips, 1]
        self._gap = torch.from_numpy((height[:, 0::2] - height[:, 1::2]).mean(1))
        self._rest_gap = float(ict.gap_mm(np.zeros((1, 52), np.float32))[0])
        self._mesh = HeadMesh(self.rig)
        neutrals = [identity_neutral(ict, self.rig, identity_coefficients("train", row)) for row in range(IDENTITIES)]
        self._neutrals = torch.from_numpy(np.stack([*neutrals, self.rig.neutral]))  # the last is GRID's, the mean
        marks = self.rig.neutral[self.rig.landmarks]
        places = [face_middle(n[self.rig.landmarks], marks) for n in self._neutrals.numpy()]
        self._middles = torch.from_numpy(np.stack([p for p, _ in places]))
        self._sizes = torch.tensor([s for _, s in places])
        self._maps = torch.from_numpy(np.concatenate([self.rig.neutral_map(n.numpy()) for n in self._neutrals]))
        self._learn_marks(ict, -(-len(batches.made.labels) // (PER_IDENTITY * LOOKS)), marks)  # also those yet to come
        part = np.zeros(len(self.rig.neutral), bool)
        for name in ("face", "mouth_socket", "teeth", "tongue", "eye_left", "eye_right"):
            part[slice(*self.rig.parts[name])] = True
        triangles = self.rig.triangles[part[self.rig.triangles].all(axis=1)]
        weld = np.unique(np.round(self.rig.neutral, 6), axis=0, return_index=True, return_inverse=True)
        self._renderer = Renderer(triangles, size, weld[1][weld[2].reshape(-1)])
        coat = paint(self.rig)
        albedo = np.where(coat.eye[:, None] > 0.5, 0.5 * (coat.albedo[:, :1] < 0.93) + 0.08, coat.albedo)
        shade = np.where(np.isin(np.arange(len(albedo)), coat.mouth), 0.5, coat.occlusion)
        self._albedo = torch.from_numpy((albedo * shade[:, None]).astype(np.float32))
        self._talker = self._learn_talker(batches)

    def weights(self, z: Tensor) -> Tensor:
        """M': (B, 64) -> (B, 52), not clipped."""
        return self._to_weights(z)

    def marks(self, labels: dict[str, Tensor], seen: dict[str, Tensor]) -> Tensor:
        """Landmarks (B, 68, 2) in crops, right and down of the middle in sides; with the rig's own amplitudes."""
        who = labels["identity"].clamp_min(-1).long()  # -1 is the last: the mean
        flip = labels["mirrored"][:, None]
        own = torch.where(flip, labels["weights"][:, list(MIRRORED)], labels["weights"])
        points = self._marks[who] + torch.tensordot(own, self._mark_moves, dims=1) - self._mark_middles[who][:, None]
        reflected = points[:, MARK_MIRROR] * torch.tensor([1.0, -1.0, 1.0])
        world = torch.where(flip[:, :, None], reflected, points) @ seen["rotation"].transpose(1, 2)
        away = torch.where(labels["identity"] < 0, torch.full((), GRID_DISTANCE), labels["distance"])[:, None]
        near = away / (away - world[:, :, 0]).clamp_min(0.02)
        whole = (SIDE_M * self._mark_sizes[who] * (-seen["place"][:, 2]).exp())[:, None]
        right = seen["place"][:, :1] + world[:, :, 1] * near / whole
        down = seen["place"][:, 1:2] - world[:, :, 2] * near / whole
        return torch.stack([right, down], 2).clamp(-0.5, 0.5)

    def mean_mm(self, made: Tensor, true: Tensor) -> Tensor:
        """Mean distance (B,) over the narrow face of two faces (B, 52) on the mean identity, mm."""
        apart = (made - true) @ self._moves.flatten(1)
        return apart.unflatten(1, self._moves.shape[1:]).norm(dim=2).mean(1)

    def skin_mm(self, made: Tensor, true: Tensor, valid: Tensor) -> Tensor:
        """(B,) mean distance over the skin of two faces (B, 52) on the mean identity, mm, smooth at zero; ``valid``
        (B, 52) is 0 where a label says nothing. What the evaluation measures."""
        apart = (((made - true) * valid) @ self._skin).unflatten(1, (-1, 3))
        return (apart.square().sum(2) + 1e-4).sqrt().mean(1)

    def gap_mm(self, weights: Tensor) -> Tensor:
        """Lip gap (B,) of weights on the mean identity, mm."""
        return weights @ self._gap + self._rest_gap

    def compare(
        self, z: Tensor, weights: Tensor, turned: Tensor, place: Tensor, pictures: Tensor, seen: dict[str, Tensor],
        labels: dict[str, Tensor], count: int,
    ) -> dict[str, Tensor]:  # fmt: skip
        """``maps`` (mm) and ``image`` of a few pictures, half of them real where there are any.

        Args:
            z, weights, turned, place: what the encoders and M' made.
            pictures: (B, 3, S, S) E_pose's crops before their look was changed.
            seen: ``rotation`` and ``place`` as truly seen in these crops. labels: the batch's.
        """
        shown = (labels["face"] == 1) & (labels["identity"] < IDENTITIES) & ~labels["mirrored"]
        shown = shown.nonzero()[:, 0][torch.randperm(int(shown.sum()))]
        real, made = (shown[(labels["identity"][shown] < 0) == which] for which in (True, False))
        rows = torch.cat([made[: count - min(count // 2, len(real))], real[: count // 2]])
        if not len(rows):
            return {"maps": z.sum() * 0, "image": z.sum() * 0}
        who, grid = labels["identity"][rows], labels["identity"][rows] < 0
        who = torch.where(grid, torch.full_like(who, IDENTITIES), who).long()
        neutral, neutral_map = self._neutrals[who], self._maps[who]
        with torch.no_grad():
            true_map = self._generator(neutral_map, labels["z"][rows])
        made_map = self._generator(neutral_map, z[rows])
        maps = 10 * (((made_map - true_map) ** 2).sum(1) * self._texels).mean((1, 2)).add(1e-5).sqrt().mean()
        away = torch.where(grid, torch.full((), GRID_DISTANCE), labels["distance"][rows])
        scene = (neutral, self._middles[who], SIDE_M * self._sizes[who], away)
        with torch.no_grad():
            light = 0.25 * torch.randn(len(rows), 3, 9)
            light[:, :, 0] += 1.1
            light[:, :, 1] += 0.4
            light[grid] = 0.0
            light[grid, :, 0] = 1.0
            colours = torch.where(grid[:, None, None], self._talker, self._albedo * (0.6 + torch.rand(len(rows), 1, 3)))
            true_image, true_seen = self._picture(
                true_map, labels["weights"][rows], seen["rotation"][rows], seen["place"][rows], scene, colours, light
            )
            size = (self._renderer.size, self._renderer.size)
            taken = F.interpolate(pictures[rows], size=size, mode="bilinear", antialias=True)
            target = torch.where(grid[:, None, None, None], taken, true_image)
        image, where = self._picture(
            made_map, weights[rows].clamp(0, 1), turned[rows], place[rows], scene, colours, light
        )
        both = (where & true_seen)[:, None]
        error = ((image - target) ** 2 * both).sum((1, 2, 3)) / (3 * both.sum((1, 2, 3))).clamp_min(1)
        return {"maps": maps, "image": error.mean()}

    def _picture(
        self, offsets: Tensor, weights: Tensor, rotation: Tensor, place: Tensor, scene: tuple[Tensor, ...],
        colours: Tensor, light: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """R(G, p) as E_pose's crop shows it."""
        neutral, middle, side, away = scene
        vertices = self._mesh(offsets, weights, neutral)
        whole = side * (-place[:, 2]).exp()  # metres across the crop, at the depth of the face
        shift = torch.stack([torch.zeros_like(whole), place[:, 0] * whole, -place[:, 1] * whole], 1)
        world = (vertices - middle[:, None]) @ rotation.transpose(1, 2) + shift[:, None]
        return self._renderer(world, colours, 0.5 * whole, away, light)

    def _learn_marks(self, ict: ICTRig, identities: int, mean: np.ndarray) -> None:
        """Rest landmarks of every identity, the mean last, with the middle and size of each face."""
        coefficients = np.stack([identity_coefficients("train", row) for row in range(identities)])
        modes = to_ros(ict.identity[:, ict.landmarks].astype(np.float32))
        rest = np.concatenate([mean + np.tensordot(coefficients, modes, axes=1), mean[None]])
        places = [face_middle(points, mean) for points in rest]
        self._marks = torch.from_numpy(rest.astype(np.float32))
        self._mark_moves = torch.from_numpy(to_ros(ict.deltas[:, ict.landmarks]))
        self._mark_middles = torch.from_numpy(np.stack([p for p, _ in places]).astype(np.float32))
        self._mark_sizes = torch.tensor([s for _, s in places])

    @torch.no_grad()
    def _learn_talker(self, batches: Batches) -> Tensor:
        """Colours (V, 3) of GRID's talker, the studio's light in them: the mean of what frames show there."""
        frames = np.linspace(0, len(batches.real.labels) - 1, _SKIN_FRAMES).astype(int)
        images, labels = batches.take(np.zeros(0, int), np.unique(frames))
        total, count = torch.zeros(len(self._albedo), 3), torch.full((len(self._albedo), 1), 1e-3)
        neutral, middle = self._neutrals[-1:], self._middles[-1]
        for image, rotation, weights, z, centre, side in zip(
            images, *(labels[k] for k in ("rotation", "weights", "z", "centre", "side")), strict=True
        ):
            offsets = self._generator(self._maps[-1:], z[None])
            world = (self._mesh(offsets, weights[None], neutral)[0] - middle) @ rotation.T
            facing = (self._renderer.normals(world[None])[0][:, :1] - 0.2).clamp_min(0)
            depth = GRID_DISTANCE / (GRID_DISTANCE - world[:, :1])
            pixel = centre + depth * world[:, 1:] * torch.tensor([1.0, -1.0]) * (side / SIDE_M)
            grid = ((pixel + 0.5) / image.shape[-1] * 2 - 1)[None, None]
            colour = F.grid_sample(image[None].float() / 255, grid, padding_mode="border", align_corners=False)[
                0, :, 0
            ].T
            total += facing * colour
            count += facing
        mean = total.sum(0) / count.sum()
        return torch.where(count > 1.0, total / count, mean)
