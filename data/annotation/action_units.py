"""Action units of FACS from the 52 weights, with intensities A to E, frame by frame.

MMHead detects 41 units (27, and left and right of seven of them) from pictures. Here they come from the fitted weights,
so a unit can be told where a shape, or a pair of shapes, stands for it. :data:`NOT_TOLD` lists the eight that cannot;
:data:`MORE` lists those beyond MMHead's that can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from media2face.data.visemes import REST_GAP_MM, gap_mm
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import InputError

LEVELS = (0.06, 0.15, 0.30, 0.50, 0.75)
"""Intensity in [0, 1] from which a unit is at A (trace), B (slight), C (marked), D (severe), E (maximum)."""
LETTERS = "-ABCDE"
_LIDS_FRAMES = 31
"""Lids lowered for longer than half of this droop (43); for less they blink (45)."""
WIDE_JAW = 0.5
"""jawOpen above which a dropped jaw (26) is a stretched mouth (27)."""
WIDE_GAP_MM = 14.0
"""Lip gap above rest at which lips part (25) counts as maximum."""

MMHEAD = (
    "1", "2", "4", "5", "6", "7", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "22", "23",
    "24", "25", "26", "27", "32", "38", "39", "L1", "R1", "L2", "R2", "L4", "R4", "L6", "R6", "L10", "R10", "L12",
    "R12", "L14", "R14",
)  # fmt: skip
NOT_TOLD = {
    "L1": "ARKit raises both inner brows with one shape",
    "R1": "ARKit raises both inner brows with one shape",
    "11": "no shape for the nasolabial furrow: it moves with the upper lip (10)",
    "13": "no shape for the sharp lip puller: it looks like 12",
    "23": "tightened lips are not told from pressed ones (24)",
    "32": "a bitten lip is not told from a rolled one (28)",
    "38": "nostrils have no shape",
    "39": "nostrils have no shape",
}
MORE = ("28", "29", "30L", "30R", "33", "43", "45", "L45", "R45", "46L", "46R", "61", "62", "63", "64")


@dataclass(frozen=True)
class Unit:
    """A unit's FACS name and the words for it: what ``moves`` and how it does (``rises``, third person)."""

    name: str
    subject: str
    verb: str
    plural: bool = True


UNITS: dict[str, Unit] = {
    "1": Unit("inner brow raiser", "inner brows", "rise"),
    "2": Unit("outer brow raiser", "outer brows", "rise"),
    "4": Unit("brow lowerer", "brows", "draw down and together"),
    "5": Unit("upper lid raiser", "eyes", "open wide"),
    "6": Unit("cheek raiser", "cheeks", "lift"),
    "7": Unit("lid tightener", "eyelids", "tighten"),
    "9": Unit("nose wrinkler", "nose", "wrinkles", False),
    "10": Unit("upper lip raiser", "upper lip", "lifts", False),
    "12": Unit("lip corner puller", "lip corners", "pull up"),
    "14": Unit("dimpler", "lip corners", "tighten into dimples"),
    "15": Unit("lip corner depressor", "lip corners", "turn down"),
    "16": Unit("lower lip depressor", "lower lip", "pulls down", False),
    "17": Unit("chin raiser", "chin", "pushes up", False),
    "18": Unit("lip pucker", "lips", "pucker"),
    "19": Unit("tongue show", "tongue", "comes out", False),
    "20": Unit("lip stretcher", "lips", "stretch sideways"),
    "22": Unit("lip funneler", "lips", "form a funnel"),
    "24": Unit("lip presser", "lips", "press together"),
    "25": Unit("lips part", "lips", "part"),
    "26": Unit("jaw drop", "jaw", "drops", False),
    "27": Unit("mouth stretch", "mouth", "opens wide", False),
    "28": Unit("lip suck", "lips", "roll inwards"),
    "29": Unit("jaw thrust", "jaw", "moves forward", False),
    "30L": Unit("jaw sideways", "jaw", "slides to the left", False),
    "30R": Unit("jaw sideways", "jaw", "slides to the right", False),
    "33": Unit("cheek blow", "cheeks", "puff out"),
    "43": Unit("eyes closed", "eyelids", "droop"),
    "45": Unit("blink", "eyes", "close"),
    "46L": Unit("wink", "left eye", "winks", False),
    "46R": Unit("wink", "right eye", "winks", False),
    "61": Unit("eyes turn left", "eyes", "look to the left"),
    "62": Unit("eyes turn right", "eyes", "look to the right"),
    "63": Unit("eyes up", "eyes", "look up"),
    "64": Unit("eyes down", "eyes", "look down"),
}
SIDED = ("2", "4", "6", "10", "12", "14", "45")
MOUTH = frozenset("10 12 14 15 16 17 18 19 20 22 24 25 26 27 28 29 30L 30R".split())
"""Units that speech moves, too."""
_PAIRS = {"2": "browOuterUp", "4": "browDown", "5": "eyeWide", "6": "cheekSquint", "7": "eyeSquint", "9": "noseSneer",
          "12": "mouthSmile", "14": "mouthDimple", "15": "mouthFrown", "16": "mouthLowerDown", "20": "mouthStretch",
          "24": "mouthPress", "45": "eyeBlink"}  # fmt: skip
_SINGLES = {"1": "browInnerUp", "17": "mouthShrugLower", "18": "mouthPucker", "19": "tongueOut", "22": "mouthFunnel",
            "29": "jawForward", "30L": "jawLeft", "30R": "jawRight", "33": "cheekPuff"}  # fmt: skip


def unit_intensities(weights: np.ndarray, valid: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Intensity in [0, 1] of every unit that can be told, each (T,), for weights (T, 52).

    Args:
        valid: (52,) bool, which shapes the source knows; units whose shapes it does not know are left out.

    Raises:
        InputError: if the shape does not fit.
    """
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2 or weights.shape[1] != len(ARKIT_INDEX):
        raise InputError(f"expected weights (T, {len(ARKIT_INDEX)}), got {weights.shape}")
    known = np.ones(len(ARKIT_INDEX), bool) if valid is None else np.asarray(valid, bool)

    def get(*names: str) -> list[np.ndarray] | None:
        if not all(known[ARKIT_INDEX[n]] for n in names):
            return None
        return [weights[:, ARKIT_INDEX[n]] for n in names]

    out: dict[str, np.ndarray] = {}
    for unit, shape in _SINGLES.items():
        if (found := get(shape)) is not None:
            out[unit] = found[0]
    for unit, shape in _PAIRS.items():
        if (found := get(shape + "Left", shape + "Right")) is not None:
            out[unit] = np.mean(found, axis=0)
            if unit in SIDED:
                out["L" + unit], out["R" + unit] = found
    if (found := get("mouthUpperUpLeft", "mouthUpperUpRight", "mouthShrugUpper")) is not None:
        left, right, shrug = found
        out["10"] = np.maximum((left + right) / 2, shrug)
        out["L10"], out["R10"] = np.maximum(left, shrug), np.maximum(right, shrug)
    if (found := get("mouthRollLower", "mouthRollUpper")) is not None:
        out["28"] = np.mean(found, axis=0)
    if (found := get("jawOpen", "mouthClose")) is not None:
        jaw = found[0]
        out["25"] = np.clip((gap_mm(weights) - REST_GAP_MM) / WIDE_GAP_MM, 0, 1)
        out["26"] = np.where(jaw <= WIDE_JAW, jaw, 0)
        out["27"] = np.where(jaw > WIDE_JAW, jaw, 0)
    if "45" in out:
        out["43"] = median_filter(out["45"], min(_LIDS_FRAMES, len(weights) | 1), mode="nearest")
        left, right = out["L45"], out["R45"]
        out["46L"] = np.where((left > 0.5) & (right < 0.35), left - right, 0.0)
        out["46R"] = np.where((right > 0.5) & (left < 0.35), right - left, 0.0)
    for unit, names in {
        "61": ("eyeLookOutLeft", "eyeLookInRight"), "62": ("eyeLookInLeft", "eyeLookOutRight"),
        "63": ("eyeLookUpLeft", "eyeLookUpRight"), "64": ("eyeLookDownLeft", "eyeLookDownRight"),
    }.items():  # fmt: skip
        if (found := get(*names)) is not None:
            out[unit] = np.mean(found, axis=0)
    return {unit: np.clip(track, 0, 1) for unit, track in out.items()}


def level(intensity: np.ndarray | float) -> np.ndarray:
    """0 (absent) to 5 (E) of an intensity in [0, 1]; the letters are :data:`LETTERS`."""
    return np.searchsorted(LEVELS, np.asarray(intensity), side="right")


def frame_labels(weights: np.ndarray, valid: np.ndarray | None = None) -> list[str]:
    """Per frame, the units with their letters, as FACS writes them: ``"1B+4C+45E"``; the dataset's fine labels."""
    tracks = {u: level(t) for u, t in unit_intensities(weights, valid).items() if u in UNITS}
    frames = len(weights)
    return ["+".join(f"{u}{LETTERS[t[k]]}" for u, t in tracks.items() if t[k]) for k in range(frames)]
