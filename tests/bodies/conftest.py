"""The shipped rig, and a decoder over it that needs no networks: its latents are the 52 weights themselves."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.runtime.arkit import ARKIT_NAMES, indices
from media2face.runtime.errors import ModelError
from media2face.runtime.offline import Performance
from media2face.runtime.rig_asset import RigAsset


class PosedRig:
    """Poses jaw and eyes of the shipped rig by weights; the skin stays at rest."""

    def __init__(self, rig: RigAsset):
        self.rig = rig

    def latents(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights, np.float32)

    def mesh(self, weights: np.ndarray, neutral: np.ndarray | None = None) -> np.ndarray:
        return self.rig.pose(np.zeros((len(weights), 3, *self.rig.map_size), np.float32), weights, neutral)


@pytest.fixture(scope="session")
def posed() -> PosedRig:
    try:
        return PosedRig(RigAsset.load())
    except ModelError as error:
        pytest.skip(f"the rig is not shipped yet: {error}")


@pytest.fixture
def performance() -> Performance:
    """Two thirds of a second: smooth random curves, a nod, and two beeps as sound."""
    rng = np.random.default_rng(4)
    frames = 20
    t = np.arange(frames)[:, None] / 30
    weights = (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.5, 3, 52) * t + rng.uniform(0, 6, 52))).astype(np.float32)
    weights[:, indices(["eyeLookUpLeft", "eyeLookUpRight"])] = 0.0
    half = 0.1 * np.sin(2 * np.pi * t[:, 0])
    rotation = np.stack([0 * half, np.sin(half), 0 * half, np.cos(half)], axis=1).astype(np.float32)
    rate = 16_000
    time = np.arange(frames * rate // 30) / rate
    beeps = 0.4 * np.sin(2 * np.pi * 500 * time) * ((time % 0.3 > 0.1) & (time % 0.3 < 0.2) & (time < 0.6))
    return Performance(
        weights=weights,
        head_rotation=rotation,
        head_translation=np.full((frames, 3), 0.001, np.float32),
        latents=weights.copy(),
        model="denoiser",
        seed=7,
        audio=beeps.astype(np.float32),
        names=ARKIT_NAMES,
    )
