"""How each of the fifteen styles looks, moves and speaks: tables for synthetic performances.

Faces are FACS combinations as EMFACS lists them for the basic emotions (happy 6+12, sad 1+4+15, angry 4+5+7+23/24,
surprised 1+2+5+26, afraid 1+2+4+5+20, disgusted 9+15/16, contemptuous one-sided 12+14), carried to the ARKit shapes;
the other styles, and every head and gaze habit, are our own choice. All of it is synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from media2face.data.visemes import both
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import ConfigError


@dataclass(frozen=True)
class Look:
    """One style at intensity 1.

    Attributes:
        face: shape (a pair without its side moves both) -> weight.
        one_side: the same, on one side only; which one is drawn per performance.
        extras: sets of shapes of which each performance takes one (or none, as an empty set).
        speech_share: how much of its mouth shapes stays while speaking.
        pitch, tilt, turn: head offset in degrees; pitch positive down, the sign of tilt and turn is drawn.
        sway, nods, tempo: factors on slow head motion, on accents, on the speed of both.
        articulation: factor on the mouth's amplitude. brows: factor on brow accents (negative: they draw down).
        blinks: factor on the blink rate. gaze_away: share of time not looking at the listener;
        gaze: where to then, degrees (left or right drawn, up positive). tremble: shaking of the head, degrees.
    """

    face: dict[str, float] = field(default_factory=dict)
    one_side: dict[str, float] = field(default_factory=dict)
    extras: tuple[dict[str, float], ...] = ({},)
    speech_share: float = 0.7
    pitch: float = 0.0
    tilt: float = 0.0
    turn: float = 0.0
    sway: float = 1.0
    nods: float = 1.0
    tempo: float = 1.0
    articulation: float = 1.0
    brows: float = 1.0
    blinks: float = 1.0
    gaze_away: float = 0.15
    gaze: tuple[float, float] = (10.0, 2.0)
    tremble: float = 0.0


LOOKS: dict[str, Look] = {
    "neutral": Look(),
    "happy": Look(
        dict(mouthSmile=0.62, cheekSquint=0.48, eyeSquint=0.22, mouthDimple=0.15),
        extras=(dict(mouthUpperUp=0.12), dict(browOuterUp=0.20, browInnerUp=0.15), {}),
        pitch=-2, tilt=3, sway=1.2, nods=1.2, articulation=1.1, brows=1.2,
    ),
    "sad": Look(
        dict(browInnerUp=0.80, browDown=0.25, mouthFrown=0.60, mouthShrugLower=0.25, eyeSquint=0.15, eyeBlink=0.18),
        extras=(dict(mouthPress=0.20), dict(mouthStretch=0.15), {}),
        pitch=10, tilt=4, sway=0.6, nods=0.5, tempo=0.65, articulation=0.78, brows=0.5, blinks=0.9, gaze_away=0.45,
        gaze=(6, -16),
    ),
    "angry": Look(
        dict(browDown=0.95, eyeSquint=0.45, eyeWide=0.18, mouthPress=0.35, noseSneer=0.30, mouthFrown=0.25),
        extras=(dict(mouthRollLower=0.15, mouthRollUpper=0.10), dict(mouthUpperUp=0.08, mouthLowerDown=0.10), {}),
        speech_share=0.6, pitch=5, sway=1.0, nods=1.7, tempo=1.4, articulation=1.2, brows=-1.0, blinks=0.6,
        gaze_away=0.05,
    ),
    "surprised": Look(
        dict(browInnerUp=0.80, browOuterUp=0.80, eyeWide=0.75, jawOpen=0.13),
        extras=(dict(mouthFunnel=0.12), {}),
        speech_share=0.4, pitch=-6, tilt=1, sway=1.0, nods=0.9, tempo=1.2, articulation=1.15, brows=0.8, blinks=0.7,
        gaze_away=0.06,
    ),
    "afraid": Look(
        dict(browInnerUp=0.85, browOuterUp=0.40, browDown=0.35, eyeWide=0.80, mouthStretch=0.50, mouthLowerDown=0.12),
        extras=(dict(jawOpen=0.06), dict(mouthFrown=0.2), {}),
        speech_share=0.6, pitch=-3, turn=6, sway=0.8, nods=0.6, tempo=1.4, articulation=0.95, brows=0.6, blinks=1.3,
        gaze_away=0.35, gaze=(14, 1), tremble=0.25,
    ),
    "disgusted": Look(
        dict(noseSneer=0.62, browDown=0.50, eyeSquint=0.50, mouthFrown=0.40, mouthUpperUp=0.06, cheekSquint=0.30),
        extras=(dict(mouthShrugLower=0.25), dict(mouthLowerDown=0.15), {}),
        speech_share=0.6, pitch=-3, tilt=3, turn=8, sway=0.8, nods=0.7, tempo=0.9, brows=-0.5, gaze_away=0.25,
        gaze=(10, -4),
    ),
    "contemptuous": Look(
        dict(eyeSquint=0.25, eyeBlink=0.18, browDown=0.15),
        one_side=dict(mouthSmile=0.45, mouthDimple=0.55, mouthUpperUp=0.12, browOuterUp=0.35),
        extras=(dict(mouthPress=0.20), dict(mouthShrugLower=0.12), {}),
        pitch=-6, tilt=4, turn=5, sway=0.8, nods=0.6, tempo=0.8, articulation=0.9, brows=0.6, blinks=0.8,
        gaze_away=0.20, gaze=(12, 6),
    ),
    "excited": Look(
        dict(mouthSmile=0.60, cheekSquint=0.45, browInnerUp=0.45, browOuterUp=0.50, eyeWide=0.45),
        extras=(dict(mouthUpperUp=0.15), dict(jawOpen=0.04), {}),
        pitch=-3, tilt=2, sway=1.8, nods=1.9, tempo=1.5, articulation=1.3, brows=1.6, blinks=1.1, gaze_away=0.10,
    ),
    "calm": Look(
        dict(mouthSmile=0.16, eyeBlink=0.10, cheekSquint=0.08),
        extras=(dict(browInnerUp=0.08), {}),
        pitch=0, tilt=2, sway=0.6, nods=0.6, tempo=0.6, articulation=0.9, brows=0.5, blinks=0.8, gaze_away=0.08,
    ),
    "tired": Look(
        dict(eyeBlink=0.36, browInnerUp=0.25, mouthFrown=0.22, mouthShrugLower=0.08, eyeSquint=0.10),
        extras=(dict(browDown=0.15), dict(jawOpen=0.03), {}),
        pitch=8, tilt=5, sway=0.9, nods=0.4, tempo=0.5, articulation=0.72, brows=0.4, blinks=1.5, gaze_away=0.35,
        gaze=(6, -12),
    ),
    "confused": Look(
        dict(browDown=0.50, eyeSquint=0.35, browInnerUp=0.40, mouthFrown=0.30, mouthPress=0.15),
        one_side=dict(browOuterUp=0.65, mouthDimple=0.30, mouthStretch=0.20),
        extras=(dict(mouthShrugUpper=0.12, mouthShrugLower=0.20), dict(mouthPucker=0.15), {}),
        pitch=1, tilt=9, turn=4, sway=1.0, nods=0.6, articulation=0.95, brows=0.8, blinks=1.2, gaze_away=0.30,
        gaze=(10, 8),
    ),
    "thoughtful": Look(
        dict(browDown=0.42, browInnerUp=0.35, eyeSquint=0.28, mouthPress=0.28, mouthShrugLower=0.18),
        one_side=dict(mouthDimple=0.15),
        extras=(dict(mouthPucker=0.15), dict(mouthRollLower=0.12), {}),
        pitch=1, tilt=6, turn=5, sway=0.8, nods=0.7, tempo=0.7, articulation=0.9, brows=0.7, gaze_away=0.55,
        gaze=(13, 11),
    ),
    "playful": Look(
        dict(mouthSmile=0.25, cheekSquint=0.35, eyeSquint=0.22),
        one_side=dict(mouthSmile=0.40, browOuterUp=0.55, mouthDimple=0.25),
        extras=(dict(mouthPucker=0.10), dict(browInnerUp=0.15), {}),
        pitch=1, tilt=9, turn=4, sway=1.5, nods=1.3, tempo=1.2, articulation=1.1, brows=1.4, gaze_away=0.18,
        gaze=(12, 4),
    ),
    "bored": Look(
        dict(eyeBlink=0.34, mouthFrown=0.20, mouthShrugLower=0.15, browOuterUp=0.12),
        one_side=dict(mouthDimple=0.25),
        extras=(dict(mouthPress=0.15), dict(mouthLeft=0.10), {}),
        pitch=4, tilt=7, turn=3, sway=0.6, nods=0.3, tempo=0.55, articulation=0.75, brows=0.3, blinks=0.9,
        gaze_away=0.50, gaze=(16, 2),
    ),
}  # fmt: skip

_MOUTH = np.array([n.startswith(("mouth", "jaw")) for n in ARKIT_NAMES])


def look(style: str) -> Look:
    """The table entry of a style.

    Raises:
        ConfigError: if there is no such style.
    """
    if style not in LOOKS:
        raise ConfigError(f"expected a style of {', '.join(LOOKS)}, got {style!r}")
    return LOOKS[style]


def expression(style: str, rng: np.random.Generator) -> np.ndarray:
    """Weights (52,) of one performer's version of a style at intensity 1: extras, side and strengths are drawn."""
    entry = look(style)
    out = np.zeros(len(ARKIT_NAMES))
    side = int(rng.integers(2))
    extra = entry.extras[int(rng.integers(len(entry.extras)))]
    for name, weight in {**entry.face, **{k: v for k, v in extra.items() if k not in entry.face}}.items():
        weight = weight + (extra.get(name, 0.0) if name in entry.face else 0.0)
        strength = float(np.exp(rng.normal(0, 0.16)))
        for column in both(name):
            out[column] = weight * strength * (1 + rng.normal(0, 0.06))
    for name, weight in entry.one_side.items():
        out[both(name)[side]] += weight * float(np.exp(rng.normal(0, 0.16)))
    return np.clip(out, 0, 1)


def mouth_columns() -> np.ndarray:
    """(52,) bool: the shapes that speech and expression share."""
    return _MOUTH.copy()
