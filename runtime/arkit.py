"""The 52 ARKit blendshape names in the order of Apple's ARFaceAnchor.BlendShapeLocation; values travel with names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .errors import InputError

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

ARKIT_INDEX: dict[str, int] = {name: i for i, name in enumerate(ARKIT_NAMES)}

_OTHER_SIDE = {"Left": "Right", "Right": "Left"}
MIRRORED: tuple[int, ...] = tuple(
    next((ARKIT_INDEX[n.removesuffix(a) + b] for a, b in _OTHER_SIDE.items() if n.endswith(a)), i)
    for i, n in enumerate(ARKIT_NAMES)
)
"""Where each shape's counterpart on the other side stands; ``weights[..., MIRRORED]`` is the face in a mirror."""

MOUTH_NAMES: tuple[str, ...] = tuple(n for n in ARKIT_NAMES if n.startswith(("jaw", "mouth")) or n == "tongueOut")
UPPER_NAMES: tuple[str, ...] = tuple(n for n in ARKIT_NAMES if n.startswith(("eye", "brow")))


def indices(names: Sequence[str]) -> np.ndarray:
    """Positions of ``names`` in :data:`ARKIT_NAMES`, int64 (len(names),).

    Raises:
        InputError: if a name is not one of the 52.
    """
    unknown = [n for n in names if n not in ARKIT_INDEX]
    if unknown:
        raise InputError(f"expected ARKit shape names such as 'jawOpen', got {unknown[:5]}; see ARKIT_NAMES for the 52")
    return np.array([ARKIT_INDEX[n] for n in names], dtype=np.int64)
