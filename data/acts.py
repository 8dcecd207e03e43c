"""Acts of the face without words, as motion: nod, shake, wink, frown, yawn, chew, laugh, smile. Synthetic, by rules.

Each act draws its own performer's version: size, tempo, side, order and length vary with the generator. Timing follows
what is commonly reported (laughter about five bursts a second, chewing 1.2 to 1.7 strokes a second, a yawn of four to
six seconds with a slow rise and a quicker fall); sizes are our own choice on the rig.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from media2face.data.visemes import both, seal
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError

FPS = 30


@dataclass
class Act:
    """Motion of one act over n frames.

    Attributes:
        weights: (n, 52) in [0, 1], shapes it performs (the larger of this and what was there is shown).
        owns: (n, 52) in [0, 1], how far it takes a shape away from what was there.
        closure: (n, 2) in [0, 1], lids left and right.
        head: (n, 3) degrees, roll (positive to its right), pitch (down), yaw (left), added to the head's.
    """

    weights: np.ndarray
    owns: np.ndarray
    closure: np.ndarray
    head: np.ndarray

    @classmethod
    def empty(cls, frames: int) -> Act:
        """Nothing at all."""
        shapes = (frames, len(ARKIT_NAMES))
        return cls(np.zeros(shapes), np.zeros(shapes), np.zeros((frames, 2)), np.zeros((frames, 3)))

    def put(self, track: np.ndarray, **shapes: float) -> None:
        """Add shapes (a pair without its side moves both, a side of it only that) times a track (n,)."""
        for name, size in shapes.items():
            for column in both(name):
                self.weights[:, column] += size * track

    def own(self, track: np.ndarray, *starts: str) -> None:
        """Take the shapes whose names begin so away from what was there, as far as ``track`` (n,) says."""
        columns = [i for n, i in ARKIT_INDEX.items() if n.startswith(starts)]
        self.owns[:, columns] = np.maximum(self.owns[:, columns], np.clip(track, 0, 1)[:, None])


def hump(frames: int, rise: float = 0.3, fall: float = 0.3) -> np.ndarray:
    """Up, hold, down (n,): smooth, with the shares of the length that rise and fall take; 0 at both ends."""
    x = np.linspace(0, 1, frames)
    up, down = np.clip(x / max(rise, 1e-3), 0, 1), np.clip((1 - x) / max(fall, 1e-3), 0, 1)
    return (up * up * (3 - 2 * up)) * (down * down * (3 - 2 * down))


def _swing(rng: np.random.Generator, frames: int, hertz: float, size: float) -> np.ndarray:
    """A damped swing (n,) that starts and ends at 0."""
    time = np.arange(frames) / FPS
    drift = 1 + 0.15 * np.cumsum(rng.normal(0, 0.3, frames)) / np.sqrt(np.arange(1, frames + 1))
    phase = 2 * np.pi * hertz * np.cumsum(np.clip(drift, 0.7, 1.3)) / FPS
    decay = np.exp(-time / max(time[-1], 1e-6) * rng.uniform(0.3, 1.0))
    return size * np.sin(phase) * decay * hump(frames, 0.12, 0.25)


def _nod(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    size = power * rng.uniform(6, 13)
    act.head[:, 1] = _swing(rng, frames, rng.uniform(1.4, 2.3), size) + 0.35 * size * hump(frames)
    act.head[:, 0] = rng.normal(0, 0.1) * size * hump(frames)
    if rng.random() < 0.4:
        act.put(hump(frames), browInnerUp=0.25 * power, browOuterUp=0.2 * power)
    if rng.random() < 0.3:
        act.put(hump(frames), mouthSmile=0.2 * power)
    return act


def _shake(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    act.head[:, 2] = rng.choice((-1.0, 1.0)) * _swing(rng, frames, rng.uniform(1.2, 2.0), power * rng.uniform(9, 18))
    act.head[:, 1] = rng.uniform(-1, 3) * power * hump(frames)
    if rng.random() < 0.5:
        act.put(hump(frames), browDown=0.35 * power, mouthPress=0.2 * power)
    return act


def _wink(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    side = int(rng.integers(2))
    name = ("Left", "Right")[side]
    rise, fall = rng.uniform(0.15, 0.25), rng.uniform(0.3, 0.45)
    track = hump(frames, rise, fall)
    act.closure[:, side] = np.clip(track * (0.9 + 0.3 * power), 0, 1)
    act.closure[:, 1 - side] = 0.12 * power * track
    act.own(hump(frames, 0.1, 0.2), "eyeBlink")
    act.put(track, **{f"cheekSquint{name}": 0.55 * power, f"mouthSmile{name}": rng.uniform(0.25, 0.6) * power,
                      f"eyeSquint{name}": 0.35 * power, f"browDown{name}": 0.25 * power})  # fmt: skip
    if rng.random() < 0.5:
        act.put(track, **{f"browOuterUp{('Right', 'Left')[side]}": 0.35 * power})
    act.head[:, 0] = (-1.0 if side == 0 else 1.0) * rng.uniform(1, 6) * power * hump(frames)
    return act


def _frown(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    track = hump(frames, rng.uniform(0.15, 0.3), rng.uniform(0.25, 0.4))
    act.put(track, browDown=power * rng.uniform(0.75, 1.0), eyeSquint=0.35 * power, noseSneer=0.18 * power)
    act.put(track, mouthFrown=power * rng.uniform(0.2, 0.5), mouthPress=power * rng.uniform(0.0, 0.3))
    act.own(track, "browInnerUp", "browOuterUp", "mouthSmile")
    act.head[:, 1] = power * rng.uniform(1, 5) * track
    return act


def _yawn(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    rise, fall = rng.uniform(0.40, 0.50), rng.uniform(0.22, 0.32)
    mouth = hump(frames, rise, fall) ** 1.3
    late = np.clip(hump(frames, rise + 0.08, fall + 0.05), 0, 1) ** 2
    wide = 0.45 + 0.40 * power * rng.uniform(0.85, 1.0)
    act.put(mouth, jawOpen=wide, mouthStretch=0.15, mouthFunnel=rng.uniform(0.1, 0.3), mouthLowerDown=0.15)
    act.put(late, browInnerUp=0.45 * power, browDown=0.35 * power, cheekSquint=0.35 * power, eyeSquint=0.5 * power,
            noseSneer=0.25 * power)  # fmt: skip
    act.closure[:] = (rng.uniform(0.75, 1.0) * late)[:, None]
    act.own(mouth, "mouth", "jaw")
    act.own(late, "eyeBlink", "eyeWide")
    act.head[:, 1] = -power * rng.uniform(5, 13) * late
    act.head[:, 0] = rng.normal(0, 2) * late
    return act


def _chew(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    here = hump(frames, 0.08, 0.08)
    hertz = rng.uniform(1.2, 1.7)
    phase = np.pi * rng.random() + 2 * np.pi * np.cumsum(hertz * (1 + rng.normal(0, 0.12, frames))) / FPS
    stroke = (0.5 - 0.5 * np.cos(phase)) ** 1.2
    size = rng.uniform(0.09, 0.16) * (0.6 + 0.4 * power)
    act.put(here * stroke, jawOpen=size)
    side = rng.choice((-1.0, 1.0)) * np.where(rng.random() < 0.3, np.sign(np.sin(phase / 6)), 1.0)
    sideways = 0.22 * np.sin(phase) * here * side
    act.put(np.maximum(sideways, 0), jawLeft=1.0)
    act.put(np.maximum(-sideways, 0), jawRight=1.0)
    act.put(here * (1 - stroke), mouthPress=0.3, mouthRollLower=0.15, mouthShrugLower=0.25)
    bulge = np.clip(np.sin(phase / 4), 0, 1)
    act.put(here * bulge, cheekPuff=0.12, mouthLeft=0.12 * (side.mean() > 0), mouthRight=0.12 * (side.mean() < 0))
    act.weights = seal(np.clip(act.weights, 0, 1), here)  # with the mouth shut
    act.own(here, "mouth", "jaw", "cheekPuff")
    act.head[:, 1] = 0.8 * stroke * here
    return act


def _laugh(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    time = np.arange(frames) / FPS
    here = hump(frames, 0.12, 0.35)
    bursts, moment = np.zeros(frames), 0.1
    while moment < time[-1] - 0.15:
        count, hertz = int(rng.integers(3, 8)), rng.uniform(4.3, 5.4)
        for k in range(count):
            strength = rng.uniform(0.7, 1.0) * 0.88**k
            bursts = np.maximum(bursts, strength * np.exp(-0.5 * ((time - moment - k / hertz) / 0.045) ** 2))
        moment += count / hertz + rng.uniform(0.15, 0.5)
    smile = rng.uniform(0.65, 0.9) * (0.5 + 0.5 * power)
    act.put(here, mouthSmile=smile, cheekSquint=0.7 * power, eyeSquint=0.45 * power, mouthUpperUp=0.25 * power,
            mouthDimple=0.15, jawOpen=0.10 + 0.12 * power, mouthLowerDown=0.10 * power)  # fmt: skip
    act.put(here * bursts, jawOpen=0.05 + 0.15 * power, mouthLowerDown=0.12)
    act.closure[:] = (0.35 * power * here * rng.uniform(0.4, 1.0))[:, None]
    act.own(here, "mouth", "jaw", "browDown", "eyeWide")
    back = rng.choice((-1.0, 1.0), p=(0.7, 0.3)) * rng.uniform(3, 10) * power
    act.head[:, 1] = back * here - 1.8 * power * bursts * here
    act.head[:, 0] = rng.normal(0, 2.5) * here
    return act


def _smile(rng: np.random.Generator, frames: int, power: float) -> Act:
    act = Act.empty(frames)
    track = hump(frames, rng.uniform(0.15, 0.3), rng.uniform(0.3, 0.45))
    act.put(track, mouthSmile=rng.uniform(0.55, 0.8) * (0.4 + 0.6 * power), cheekSquint=0.5 * power)
    act.put(track, eyeSquint=0.2 * power, mouthDimple=rng.uniform(0, 0.2))
    act.own(track, "mouthFrown", "mouthPress")
    act.head[:, 0] = rng.normal(0, 2) * track
    return act


_Maker = Callable[[np.random.Generator, int, float], Act]
ACTS: dict[str, tuple[_Maker, tuple[float, float], bool]] = {
    "nod": (_nod, (0.9, 1.8), False),
    "shake": (_shake, (1.1, 2.2), False),
    "wink": (_wink, (0.4, 0.7), False),
    "frown": (_frown, (1.2, 3.0), False),
    "smile": (_smile, (1.2, 3.0), False),
    "yawn": (_yawn, (3.6, 6.0), True),
    "chew": (_chew, (3.0, 6.0), True),
    "laugh": (_laugh, (1.4, 3.2), True),
}
"""Act -> its maker, the usual length in s (drawn), whether it needs the mouth for itself."""


def make_act(kind: str, frames: int, power: float, rng: np.random.Generator) -> Act:
    """One performance of an act.

    Args:
        frames: its length. power: in (0, 1], how strongly.

    Raises:
        ConfigError: for an unknown act, or a length or strength that cannot be.
    """
    if kind not in ACTS:
        raise ConfigError(f"expected an act of {', '.join(ACTS)}, got {kind!r}")
    if frames < 6 or not 0 < power <= 1:
        raise ConfigError(f"expected 6 frames or more and an intensity in (0, 1], got {frames} and {power}")
    act = ACTS[kind][0](rng, frames, power)
    jitter = 1 + rng.normal(0, 0.05, len(ARKIT_NAMES))  # no face is symmetric
    act.weights = np.clip(act.weights * (np.ones_like(jitter) if kind == "chew" else jitter), 0, 1)
    return act
