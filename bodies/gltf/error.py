"""How far a GLB head, which blends shapes linearly, lies from the decoder that it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.arkit import ARKIT_INDEX
from ..paint import paint
from .container import Glb

if TYPE_CHECKING:
    from ...runtime.decoder import FaceDecoder

BATCH = 32


class BlendedHead:
    """The moving meshes of a head that ``gltf_head`` made, as any viewer blends them.

    Attributes:
        rows: (n,) vertices of the rig, one for each vertex of the file that is one of the rig's.
    """

    def __init__(self, glb: Glb, rig) -> None:
        step = np.array([n["scale"][0] for n in glb.items("nodes") if n.get("name") == "teeth"])[0]
        self._offset = paint(rig).offset
        wanted = np.round((rig.neutral + self._offset)[:, [1, 2, 0]] / step).astype(np.int64)
        place = {tuple(p): k for k, p in reversed(list(enumerate(wanted.tolist())))}
        rows, rest, deltas = [], [], []
        for mesh in glb.items("meshes"):
            names = mesh.get("extras", {}).get("targetNames")
            if not names:
                continue
            primitive = mesh["primitives"][0]
            points = glb.array(primitive["attributes"]["POSITION"])
            known = [k for k, p in enumerate(points.tolist()) if tuple(p) in place]
            rows += [place[tuple(points[k].tolist())] for k in known]
            rest.append(points[known] * step)
            shapes = np.zeros((52, len(known), 3), np.float32)
            for name, target in zip(names, primitive["targets"], strict=True):
                shapes[ARKIT_INDEX[name]] = glb.array(target["POSITION"])[known] * step
            deltas.append(shapes)
        self.rows = np.array(rows)
        self._rest = np.concatenate(rest)[:, [2, 0, 1]].astype(np.float32)
        self._deltas = np.concatenate(deltas, axis=1)[:, :, [2, 0, 1]]

    def mesh(self, weights: np.ndarray) -> np.ndarray:
        """Points (T, n, 3), metres in ROS axes, with the renderer's thickness of hair and cloth still on them."""
        return self._rest + np.einsum("ts,snc->tnc", weights, self._deltas, optimize=True)

    def errors(self, decoder: FaceDecoder, latents: np.ndarray) -> np.ndarray:
        """Distance in mm of every vertex in every frame from ``decoder.mesh`` of the same latents, (T, n)."""
        offset = self._offset[self.rows]
        out = np.empty((len(latents), len(self.rows)), np.float32)
        for first in range(0, len(latents), BATCH):
            z = latents[first : first + BATCH]
            truth = decoder.mesh(z)[:, self.rows] + offset
            out[first : first + len(z)] = 1e3 * np.linalg.norm(self.mesh(decoder.weights(z)) - truth, axis=2)
        return out
