"""Random faces for training GNPFA: weights of the 52 shapes.

Sources are mixed: frames of the LiveLink range-of-motion takes and, where clips of tracked video are at hand, of those
(real faces), mouths as in speech (jaw with closing, rounding, spreading, rolling and pressing), sparse random
combinations and single shapes. All but the takes and clips are made by rules: synthetic.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..runtime.arkit import ARKIT_INDEX, ARKIT_NAMES, UPPER_NAMES, indices
from ..runtime.errors import InputError
from .clips import MotionClip

SOURCES = ("range_of_motion", "speech", "sparse", "single", "rest")
SHARES = (0.30, 0.35, 0.17, 0.10, 0.08)
TRACKED_SHARE = 0.2
"""Of faces drawn from clips of tracked video, where there are any."""
_CUTS = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}
_PAIRED = [(i, ARKIT_INDEX[n[:-4] + "Right"]) for n, i in ARKIT_INDEX.items() if n[:-4] + "Right" in ARKIT_INDEX
           and n.endswith("Left")]  # fmt: skip
_UPPER = indices(UPPER_NAMES)


def range_of_motion(folder: str | Path, split: str = "train") -> np.ndarray:
    """Frames (n, 52) of the LiveLink takes in ARKit order, clipped to [0, 1].

    Each take is cut in time: ``train`` is its first four fifths, ``val`` the next tenth, ``test`` the last.

    Raises:
        FileNotFoundError: if there are no takes in ``folder``/livelink_rom.
    """
    files = sorted((Path(folder) / "livelink_rom").glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"expected LiveLink takes in {Path(folder) / 'livelink_rom'}, found none")
    out = []
    for file in files:
        with np.load(file, allow_pickle=False) as take:
            column = {str(n)[0].lower() + str(n)[1:]: i for i, n in enumerate(take["names"])}
            weights = take["weights"][:, [column[n] for n in ARKIT_NAMES]]
        first, last = (int(len(weights) * cut) for cut in _CUTS[split])
        out.append(weights[first:last])
    return np.clip(np.concatenate(out), 0.0, 1.0).astype(np.float32)


def tracked_motion(folder: str | Path, split: str = "train") -> np.ndarray:
    """Frames (n, 52) of the clips of a split below ``folder`` (``data/real_motion.py`` makes them), unseen shapes 0.

    Raises:
        InputError: if there are none.
    """
    out = []
    for path in sorted(Path(folder).rglob("*.npz")):
        clip = MotionClip.load(path)
        if clip.split == split and clip.source in ("grid", "facegood"):
            out.append(np.where(clip.weights_valid, clip.weights, 0.0))
    if not out:
        raise InputError(f"expected motion clips of the split {split!r} of GRID or FACEGOOD in {folder}, found none")
    return np.clip(np.concatenate(out), 0.0, 1.0).astype(np.float32)


class ExpressionSampler:
    """Draws weights (n, 52) in [0, 1] from the mixture ``SHARES`` of ``SOURCES``.

    Args:
        folder: the study data with the LiveLink takes.
        split: of takes and clips.
        seed: of everything random.
        motion: folder of clips of tracked video; they then make up :data:`TRACKED_SHARE` of what is drawn.
    """

    def __init__(
        self,
        folder: str | Path = "../shared/data",
        split: str = "train",
        seed: int = 0,
        motion: str | Path | None = None,
    ) -> None:
        self.takes = range_of_motion(folder, split)
        self.clips = None if motion is None else tracked_motion(motion, split)
        self.rng = np.random.default_rng(seed)

    def sample(self, n: int, source: str | None = None) -> np.ndarray:
        """``n`` faces, of one source (of :data:`SOURCES`, or ``tracked``) or mixed."""
        names, shares = SOURCES, SHARES
        if self.clips is not None:
            names = (*SOURCES, "tracked")
            shares = (*(s * (1 - TRACKED_SHARE) for s in SHARES), TRACKED_SHARE)
        kinds = np.full(n, names.index(source)) if source else self.rng.choice(len(names), n, p=shares)
        out = np.zeros((n, len(ARKIT_NAMES)), np.float32)
        for k, name in enumerate(names):
            rows = np.flatnonzero(kinds == k)
            if len(rows):
                out[rows] = getattr(self, "_" + name)(len(rows))
        return np.clip(out, 0.0, 1.0)

    def _range_of_motion(self, n: int) -> np.ndarray:
        frames = self.takes[self.rng.integers(len(self.takes), size=n)]
        others = self.takes[self.rng.integers(len(self.takes), size=n)]
        mixed = self.rng.random(n) < 0.4
        frames[np.ix_(mixed, _UPPER)] = others[np.ix_(mixed, _UPPER)]
        return frames * self.rng.uniform(0.75, 1.15, (n, 1))

    def _tracked(self, n: int) -> np.ndarray:
        """Frames of tracked clips; half with the upper face of a take, since talkers hardly move it."""
        frames = self.clips[self.rng.integers(len(self.clips), size=n)]
        mixed = self.rng.random(n) < 0.5
        frames[np.ix_(mixed, _UPPER)] = self.takes[self.rng.integers(len(self.takes), size=n)][np.ix_(mixed, _UPPER)]
        return frames

    def _speech(self, n: int) -> np.ndarray:
        rng, w = self.rng, np.zeros((n, len(ARKIT_NAMES)))

        def put(name: str, chance: float, top: float, shape: float = 1.5) -> np.ndarray:
            value = (rng.random(n) < chance) * top * rng.beta(1.0, shape, n)
            for side in ("",) if name in ARKIT_INDEX else ("Left", "Right"):
                w[:, ARKIT_INDEX[name + side]] += value * (rng.normal(1.0, 0.08, n) if side else 1.0)
            return value

        jaw = put("jawOpen", 0.9, 0.7)
        w[:, ARKIT_INDEX["mouthClose"]] = jaw * (rng.random(n) < 0.35) * rng.beta(2.0, 1.5, n)
        for name, chance, top in (
            ("mouthFunnel", 0.35, 0.8), ("mouthPucker", 0.4, 1.0), ("mouthStretch", 0.25, 0.6),
            ("mouthSmile", 0.4, 0.9), ("mouthDimple", 0.2, 0.5), ("mouthFrown", 0.2, 0.5),
            ("mouthRollLower", 0.25, 0.7), ("mouthRollUpper", 0.2, 0.6), ("mouthPress", 0.3, 0.8),
            ("mouthShrugLower", 0.25, 0.6), ("mouthShrugUpper", 0.25, 0.6), ("mouthLowerDown", 0.35, 0.8),
            ("mouthUpperUp", 0.3, 0.7), ("jawForward", 0.1, 0.4), ("cheekSquint", 0.2, 0.6), ("cheekPuff", 0.08, 0.5),
            ("noseSneer", 0.1, 0.5), ("tongueOut", 0.08, 0.8),
        ):  # fmt: skip
            put(name, chance, top)
        sideways = np.where(rng.random(n) < 0.15, rng.normal(0, 0.25, n), 0.0)
        for name in ("jaw", "mouth"):
            share = rng.random(n)
            w[:, ARKIT_INDEX[name + "Left"]] += np.maximum(sideways, 0) * share
            w[:, ARKIT_INDEX[name + "Right"]] += np.maximum(-sideways, 0) * share
        return self._alive(w)

    def _sparse(self, n: int) -> np.ndarray:
        keep = self.rng.random((n, len(ARKIT_NAMES))) < self.rng.uniform(0.03, 0.2, (n, 1))
        w = keep * self.rng.beta(1.2, 1.5, (n, len(ARKIT_NAMES)))
        symmetric = self.rng.random(n) < 0.6
        for left, right in _PAIRED:
            if not ARKIT_NAMES[left].startswith(("jaw", "mouthLeft", "eyeLook")):
                w[symmetric, right] = w[symmetric, left]
        return w

    def _single(self, n: int) -> np.ndarray:
        w = np.zeros((n, len(ARKIT_NAMES)))
        w[np.arange(n), self.rng.integers(len(ARKIT_NAMES), size=n)] = self.rng.random(n)
        return w

    def _rest(self, n: int) -> np.ndarray:
        return self._alive(0.05 * (self.rng.random((n, len(ARKIT_NAMES))) < 0.2) * self.rng.random((n, 1)))

    def _alive(self, w: np.ndarray) -> np.ndarray:
        """Blinks, gaze and brows on top."""
        rng, n = self.rng, len(w)
        blink = np.where(rng.random(n) < 0.3, rng.random(n), 0.05 * rng.random(n))
        side, up = rng.normal(0, 0.3, n), rng.normal(0, 0.25, n)
        raised, drawn = (np.where(rng.random(n) < 0.3, rng.beta(1, 2, n), 0.0) for _ in range(2))
        for eye, sign in (("Left", 1.0), ("Right", -1.0)):
            for name, value in (
                ("eyeBlink", blink), ("eyeLookOut", np.maximum(sign * side, 0)), ("eyeLookUp", np.maximum(up, 0)),
                ("eyeLookIn", np.maximum(-sign * side, 0)), ("eyeLookDown", np.maximum(-up, 0)),
                ("browOuterUp", raised), ("browDown", drawn), ("eyeSquint", 0.5 * drawn), ("eyeWide", 0.4 * raised),
            ):  # fmt: skip
                w[:, ARKIT_INDEX[name + eye]] += value * rng.uniform(0.9, 1.0, n)
        w[:, ARKIT_INDEX["browInnerUp"]] += raised * rng.random(n)
        return w
