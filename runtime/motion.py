"""What the motion sampler is set by, what it follows, and what it gives: settings, styles and frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .errors import ConfigError

RANGES: dict[str, tuple[float, float]] = {
    "hop": (1, 30), "lookahead": (0, 30), "past": (4, 100), "reach": (0, 60), "steps": (1, 500), "noise_span": (1, 31),
    "temperature": (0.0, 2.0), "mouth_temperature": (0.0, 2.0), "eye_temperature": (0.0, 4.0),
    "head_temperature": (0.0, 2.0),
    "guidance_style": (-5.0, 10.0), "guidance_audio": (-5.0, 10.0),
}  # fmt: skip
"""What each setting of :class:`SamplerConfig` may be."""
TUNED = {
    "temperature": "scale of the noise; 0 is the most likely motion",
    "mouth_temperature": "the same along the directions that move jaw and mouth",
    "eye_temperature": "the same along those of lids and gaze",
    "head_temperature": "the same of the head's pose",
    "guidance_style": "s_P of equation 9: how strongly the style acts",
    "guidance_audio": "s_A of equation 9: how strongly speech acts beyond a motion of no speech",
}
"""Settings that a user turns, also while a face speaks, and what they do."""
TEMPERATURES = tuple(name for name in TUNED if name.endswith("temperature"))


def ranged(name: str) -> str:
    """What a setting of :data:`TUNED` does, and what it may be."""
    low, high = RANGES[name]
    return f"{TUNED[name]}, {low:g} to {high:g}"


@dataclass(frozen=True)
class SamplerConfig:
    """How the motion is sampled.

    Raises:
        ConfigError: if a value is out of its range.
    """

    # window, frames at 30 fps
    hop: int = 1  # frames given out together: 33 ms
    lookahead: int = 1  # frames sampled beyond the hop, so that it already turns towards what comes
    past: int = 32  # frames held fixed
    reach: int = 15  # frames beyond the hop in which a keyframe is seen coming: the window is widened up to it

    # sampling
    steps: int = 1  # DDIM steps a hop: what the student needs
    noise_span: int = 7  # frames over which the face's initial noise is smoothed, lids and gaze apart: brows calm down
    temperature: float = 0.6  # scale of that noise; 0 gives the most likely motion
    mouth_temperature: float = 0.2  # along the directions that move jaw and mouth: speech is no matter of chance
    eye_temperature: float = 1.5  # along those of lids and gaze: blinks are rare, and few steps would lose them
    head_temperature: float = 0.5  # of the head's pose; noise pushes the student's, see ``noise.pushes``
    guidance_style: float = 1.0  # s_P of equation 9
    guidance_audio: float = 0.0  # s_A of equation 9; s_A + s_P = 1 spares the branch without conditions

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} must lie within {low} and {high}, got {value}")

    @classmethod
    def of(cls, record: dict, whole: bool = False, **settings: float) -> SamplerConfig:
        """The shipped setting for a model by its record, changed by ``settings``; the denoiser itself needs more steps.

        Args:
            record: of the model's file.
            whole: for a whole file, where nothing waits for the next frame: the student samples three frames a pass.
            settings: fields that are not the shipped ones.

        Raises:
            ConfigError: if a value is out of its range.
        """
        denoiser = {"hop": 2, "lookahead": 2, "steps": 4, "noise_span": 1, "temperature": 1.0, "eye_temperature": 1.8,
                    "head_temperature": 1.0}  # fmt: skip
        student = {"hop": 3} if whole else {}
        return cls(**{**(student if "student" in record else denoiser), **settings})


@dataclass(frozen=True)
class MotionFrame:
    """One frame of head motion."""

    index: int
    revision: int
    latent: np.ndarray
    """(latent_dim,) expression latent z of GNPFA."""
    head_rotvec: np.ndarray
    """(3,) rotation vector about the neck pivot, radians, REP-103 axes, relative to rest."""
    head_translation: np.ndarray
    """(3,) offset of the pivot from rest, metres."""

    def shifted(self, by: int) -> MotionFrame:
        """The same, ``by`` frames later."""
        return replace(self, index=self.index + by)


@dataclass
class Style:
    """A style embedding, how strongly it acts, and from which frame it eases in over how many frames."""

    vector: np.ndarray
    strength: float = 1.0
    start: int = 0
    ramp: int = 1

    def shares(self, frames: np.ndarray) -> np.ndarray:
        """How far the style has eased in at each of ``frames``, (n,) in [0, 1]."""
        return np.clip((frames - self.start + 1) / max(self.ramp, 1), 0.0, 1.0).astype(np.float32)
