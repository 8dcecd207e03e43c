"""Landmarks of a talking face to the 52 weights and a head pose.

The lips and the chin are fitted: bounded least squares of the ICT rig's mouth shapes to the displacement, from the
talker's rest pose, of the 20 lip landmarks and the chin, in a head frame held by the upper face and scaled by the outer
eye corners. For a clip of T frames with displacements D (T, P) and shapes A (K, P)

    minimise |W A - D|^2 + ridge |W|^2 + 2 sparse sum(W) + smooth |second difference of W|^2   over W (T, K) in [0, 1]

so a shape the landmarks pin down follows them frame by frame, one they barely see stays small and quiet, and opposite
shapes do not work against each other. The openings between the inner lips count once more as features of their own.
Eyes and brows come from the tracker's own scores, relative to the talker's rest. Puffed cheeks, nose, tongue and a jaw
thrust are not visible enough: they stay 0 and are marked as not valid.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from media2face.data.rig import NECK_PIVOT_ICT, ICTRig
from media2face.data.tracking import FaceTrack
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, InputError

# Multi-PIE landmark (68) -> vertices of the tracker's mesh (478) whose mean lies at the same place along the lip.
LIPS = {48: (61,), 49: (39, 40), 50: (37,), 51: (0,), 52: (267,), 53: (269, 270), 54: (291,), 55: (405, 321),
        56: (314, 405), 57: (17,), 58: (84, 181), 59: (181, 91), 60: (78,), 61: (81,), 62: (13,), 63: (311,),
        64: (308,), 65: (402,), 66: (14,), 67: (178,)}  # fmt: skip
CHIN = {8: (152,)}
ANCHORS = {36: 33, 39: 133, 42: 362, 45: 263, 27: 168, 28: 197, 29: 5, 30: 4}
STABLE = np.array([33, 133, 362, 263, 168, 6, 197, 195, 10, 151, 9, 67, 297, 54, 284, 127, 356, 21, 251, 117, 346])
"""Mesh vertices that hold the head frame: eye corners, nose bridge, forehead, temples, upper cheeks."""
GAP_PAIRS = ((61, 67), (62, 66), (63, 65))

NOT_SEEN = ("jawForward", "tongueOut", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
            "noseSneerRight")  # fmt: skip
FITTED = tuple(n for n in ARKIT_NAMES if n.startswith(("jaw", "mouth")) and n not in NOT_SEEN)
SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
ROS_AXES = (2, 0, 1)
"""ROS (x, y, z) = ICT (z, x, y)."""


@dataclass(frozen=True)
class FitConfig:
    """Weights of the fit.

    Attributes:
        ridge: cm^2, keeps unseen shapes small; sideways ones, rare in speech, pay ``sideways`` times as much.
        sparse: cm^2, keeps shapes that are not needed at 0.
        smooth: cm^2, on second differences per frame.
        gap: weight of the lip openings as features of their own.
        depth: weight of the landmarks' depth against x and y (the tracker guesses depth).
        pose_smooth: Whittaker smoothing of the head pose (2: half gain at 3.4 Hz for 25 frames/s).
        camera_distance: metres, assumed: it only scales movement towards the camera.
        iterations: steps of the accelerated projected gradient.
    """

    ridge: float = 0.01
    sideways: float = 10.0
    sparse: float = 0.006
    smooth: float = 0.1
    gap: float = 3.0
    depth: float = 0.1
    pose_smooth: float = 2.0
    camera_distance: float = 0.6
    iterations: int = 400

    def __post_init__(self) -> None:
        for name in ("ridge", "sideways", "camera_distance", "iterations"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"expected {name} > 0, got {getattr(self, name)}")
        for name in ("sparse", "smooth", "gap", "depth", "pose_smooth"):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected {name} >= 0, got {getattr(self, name)}")


@dataclass
class Fit:
    """A fitted clip of F video frames; weights (F, 52), head pose (F, 3) each in REP-103 axes, radians and metres.

    ``residual_mm``: root mean square distance in x and y of the fitted landmarks per frame, (F,).
    ``gap_mm``, ``rig_gap_mm``: (F,) lip gap of the landmarks and of the fitted rig.
    """

    weights: np.ndarray
    head_rotvec: np.ndarray
    head_translation: np.ndarray
    residual_mm: np.ndarray
    gap_mm: np.ndarray
    rig_gap_mm: np.ndarray


def smooth_series(x: np.ndarray, strength: float) -> np.ndarray:
    """Whittaker smoothing along axis 0: minimise |y - x|^2 + strength |second difference of y|^2; no delay."""
    n = len(x)
    if n < 3 or strength == 0:
        return np.array(x, np.float64)
    d = np.diff(np.eye(n), 2, axis=0)
    full = np.eye(n) + strength * d.T @ d
    bands = np.stack([np.r_[np.zeros(k), np.diagonal(full, k)] for k in (2, 1, 0)])
    return solveh_banded(bands, np.reshape(x, (n, -1))).reshape(np.shape(x))


def solve_bounded(
    shapes: np.ndarray,
    target: np.ndarray,
    ridge: np.ndarray | float,
    sparse: np.ndarray | float = 0.0,
    smooth: float = 0.0,
    iterations: int = 400,
) -> np.ndarray:
    """The minimiser of the module's objective, (T, K) in [0, 1], by accelerated projected gradient with restarts.

    Args:
        shapes: (K, P) displacements at weight 1.
        target: (T, P) measured displacements.
        ridge, sparse: one number, or one per shape (K,).
    """
    gram = shapes @ shapes.T + np.diag(np.broadcast_to(ridge, len(shapes)))
    linear = target @ shapes.T - sparse
    step = 1.0 / (np.linalg.eigvalsh(gram)[-1] + 16 * smooth)
    w = v = np.zeros_like(linear)
    momentum = 1.0
    for _ in range(iterations):
        gradient = v @ gram - linear
        if smooth and len(v) > 2:
            second = v[2:] - 2 * v[1:-1] + v[:-2]
            gradient[2:] += smooth * second
            gradient[1:-1] -= 2 * smooth * second
            gradient[:-2] += smooth * second
        new = np.clip(v - step * gradient, 0, 1)
        if ((v - new) * (new - w)).sum() > 0:
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum * momentum)) / 2
        v = new + (momentum - 1) / following * (new - w)
        w, momentum = new, following
    return w


def align(points: np.ndarray, template: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarities that carry ``template`` (N, 3) onto each of ``points`` (F, N, 3), least squares (Umeyama 1991).

    Returns:
        scale (F,), rotation (F, 3, 3), translation (F, 3): points = scale * rotation @ template + translation.
    """
    mp, mt = points.mean(1), template.mean(0)
    p, t = points - mp[:, None], template - mt
    u, s, vt = np.linalg.svd(np.einsum("fni,nj->fij", p, t))
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = np.einsum("fij,fj,fjk->fik", u, sign, vt)
    scale = (s * sign).sum(1) / (t * t).sum()
    return scale, rotation, mp - scale[:, None] * np.einsum("fij,j->fi", rotation, mt)


def _camera(track: FaceTrack) -> np.ndarray:
    """Landmarks (F, 478, 3) in pixels, x right (the face's left), y up, z towards the camera."""
    return track.landmarks.astype(np.float64) * np.array([1.0, -1.0, -1.0])


class Talker:
    """One person's head frame, rest face and resting scores, learnt from all of their tracks, and the fit itself.

    Args:
        rig: the ICT rig; its mean identity stands for the talker.
        tracks: at least one track in which the mouth is closed and still for a while.

    Raises:
        InputError: if fewer than 10 closed, slow frames are found.
    """

    def __init__(self, rig: ICTRig, tracks: list[FaceTrack], config: FitConfig | None = None) -> None:
        self.config = config or FitConfig()
        ids = np.array([*LIPS, *CHIN])
        self._mesh = [list(v) for v in (*LIPS.values(), *CHIN.values())]
        vertices = np.asarray(rig.landmarks)
        rows = [ARKIT_INDEX[n] for n in FITTED]
        deltas = np.asarray(rig.deltas)[rows][:, vertices[ids]].astype(np.float64)
        self._deltas = deltas
        self._gap = [(int(np.flatnonzero(ids == a)[0]), int(np.flatnonzero(ids == b)[0])) for a, b in GAP_PAIRS]
        self._shapes = self._features(deltas)
        rare = np.array([self.config.sideways if n in SIDEWAYS else 1.0 for n in FITTED])
        self._ridge, self._sparse = self.config.ridge * rare, self.config.sparse * rare
        neutral = np.asarray(rig.neutral, np.float64)[vertices]
        self._rig_rest_gap = 10 * float(np.mean([neutral[a, 1] - neutral[b, 1] for a, b in GAP_PAIRS]))
        self._pivot = np.asarray(NECK_PIVOT_ICT, np.float64)
        self._learn_frame(neutral, tracks)
        self._learn_rest(tracks)

    def _features(self, displacement: np.ndarray) -> np.ndarray:
        """What the fit compares, (N, 66): landmarks (N, 21, 3) weighted, then the three lip openings weighted."""
        points = displacement * np.array([1.0, 1.0, self.config.depth])
        gaps = [displacement[:, a, 1] - displacement[:, b, 1] for a, b in self._gap]
        return np.concatenate([points.reshape(len(points), -1), self.config.gap * np.stack(gaps, axis=1)], axis=1)

    def _learn_frame(self, neutral: np.ndarray, tracks: list[FaceTrack]) -> None:
        points = np.concatenate([_camera(t)[:, STABLE] for t in tracks])
        template = points[len(points) // 2]
        for _ in range(3):
            s, r, t = align(points, template)
            template = np.median(np.einsum("fji,fnj->fni", r, points - t[:, None]) / s[:, None, None], axis=0)
        # into the rig's axes and centimetres: directions from eyes and nose, size from the outer eye corners
        everywhere = np.concatenate([_camera(t) for t in tracks])
        s, r, t = align(points, template)
        face = np.median(np.einsum("fji,fnj->fni", r, everywhere - t[:, None]) / s[:, None, None], axis=0)
        anchors = face[list(ANCHORS.values())]
        own = neutral[list(ANCHORS)]
        _, rotation, _ = align(own[None], anchors)
        size = np.linalg.norm(neutral[45] - neutral[36]) / np.linalg.norm(face[263] - face[33])
        shift = own.mean(0) - size * rotation[0] @ anchors.mean(0)
        self.template = size * template @ rotation[0].T + shift
        self._learn_view(points)

    def _learn_view(self, points: np.ndarray) -> None:
        """Size, rotation and place of the head at rest, as the camera of these stable points (F, 21, 3) sees them."""
        scale, rotations, translations = align(points, self.template)
        self._scale = float(np.median(scale))
        self._rest_rotation = Rotation.from_matrix(rotations).mean()
        self._rest_pivot = np.median(self._pivot_position(scale, rotations, translations), axis=0)

    def view_change(self, track: FaceTrack) -> tuple[float, float]:
        """(ratio of sizes, angle in degrees) between the head in ``track`` on average and at this talker's rest."""
        scale, rotations, _ = align(_camera(track)[:, STABLE], self.template)
        turn = self._rest_rotation.inv() * Rotation.from_matrix(rotations).mean()
        return float(np.median(scale)) / self._scale, float(np.degrees(turn.magnitude()))

    def seen_by(self, track: FaceTrack) -> Talker:
        """The same person before another camera: the head at rest is where ``track`` has it on average."""
        other = copy.copy(self)
        other._learn_view(_camera(track)[:, STABLE])
        return other

    def _pivot_position(self, scale: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """Neck pivot in camera axes, metres; the size of the face tells the depth of its landmarks' centre."""
        upright = (scale[:, None] * (rotation @ self._pivot) + translation) / self._scale * 0.01
        lever = rotation @ (self._pivot - self.template.mean(0))
        depth = self.config.camera_distance * (1 - self._scale / scale) + 0.01 * lever[:, 2]
        return np.column_stack([upright[:, :2], depth])

    def head_frame(self, track: FaceTrack) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Fitted landmarks (F, 21, 3) in the rig's axes, cm, and the similarity of each frame."""
        points = _camera(track)
        s, r, t = align(points[:, STABLE], self.template)
        seen = np.stack([points[:, v].mean(1) for v in self._mesh], axis=1)
        local = np.einsum("fji,fnj->fni", r, seen - t[:, None]) / s[:, None, None]
        return local, (s, r, t)

    def misfit_mm(self, track: FaceTrack) -> np.ndarray:
        """Distance (F,), rms in x and y, of the head frame's landmarks from the talker's rigid face, mm."""
        points = _camera(track)[:, STABLE]
        s, r, t = align(points, self.template)
        rigid = s[:, None, None] * np.einsum("fij,nj->fni", r, self.template) + t[:, None]
        return 10 * np.sqrt(((rigid - points)[..., :2] ** 2).sum(2).mean(1)) / s

    def gap_mm(self, local: np.ndarray) -> np.ndarray:
        """Lip gap (F,) of landmarks in the head frame: mean over the three central inner pairs."""
        return 10 * np.mean([local[:, a, 1] - local[:, b, 1] for a, b in self._gap], axis=0)

    def _learn_rest(self, tracks: list[FaceTrack]) -> None:
        local = [self.head_frame(t)[0] for t in tracks]
        speed = np.concatenate([np.abs(np.gradient(smooth_series(self.gap_mm(x), 1.0))) for x in local])
        points = np.concatenate(local)
        gap = self.gap_mm(points)
        closed = gap < np.percentile(gap, 30)
        still = closed & (speed < np.percentile(speed[closed], 50))
        if still.sum() < 10:
            raise InputError(f"expected at least 10 frames with lips closed and still, got {int(still.sum())}")
        self.rest = np.median(points[still], axis=0)
        self.rest_gap = float(self.gap_mm(self.rest[None])[0])
        scores = np.concatenate([t.scores for t in tracks])
        self._score_rest = np.median(scores, axis=0)
        blink = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
        self._blink_full = np.maximum(np.percentile(scores[:, blink], 99.5, axis=0), self._score_rest[blink] + 0.2)
        self._gaze_rest = np.median(_gaze(scores), axis=0)

    def fit(self, track: FaceTrack) -> Fit:
        """Weights and head pose of every frame of ``track``."""
        c = self.config
        local, (scale, rotation, translation) = self.head_frame(track)
        target = local - self.rest
        found = solve_bounded(self._shapes, self._features(target), self._ridge, self._sparse, c.smooth, c.iterations)
        fitted = np.einsum("tk,kpi->tpi", found, self._deltas)
        error = (fitted - target)[:, :, :2]
        weights = self._upper(track.scores)
        weights[:, [ARKIT_INDEX[n] for n in FITTED]] = found
        rotvec = (self._rest_rotation.inv() * Rotation.from_matrix(rotation)).as_rotvec()
        offset = self._rest_rotation.inv().apply(self._pivot_position(scale, rotation, translation) - self._rest_pivot)
        return Fit(
            weights=np.clip(weights, 0, 1).astype(np.float32),
            head_rotvec=smooth_series(rotvec, c.pose_smooth)[:, ROS_AXES].astype(np.float32),
            head_translation=smooth_series(offset, 4 * c.pose_smooth)[:, ROS_AXES].astype(np.float32),
            residual_mm=10 * np.sqrt((error**2).sum(2).mean(1)),
            gap_mm=self.gap_mm(local),
            rig_gap_mm=self.gap_mm(fitted) + self._rig_rest_gap,
        )

    def _upper(self, scores: np.ndarray) -> np.ndarray:
        """Eyes and brows (F, 52) from the tracker's scores, 0 at this talker's rest."""
        rest = self._score_rest
        out = np.zeros((len(scores), len(ARKIT_NAMES)))
        for name in ARKIT_NAMES:
            if name.startswith(("brow", "eyeSquint", "eyeWide")):
                i = ARKIT_INDEX[name]
                out[:, i] = np.clip((scores[:, i] - rest[i]) / (1 - rest[i]), 0, 1)
        blink = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
        closed = np.clip((scores[:, blink] - rest[blink] - 0.03) / (self._blink_full - rest[blink] - 0.03), 0, 1)
        out[:, blink] = closed
        # behind a closing lid the tracker's gaze only follows the lid
        left, up = ((_gaze(scores) - self._gaze_rest) * (1 - closed.mean(1, keepdims=True))).T
        for name, value in (
            ("eyeLookOutLeft", left), ("eyeLookInRight", left), ("eyeLookInLeft", -left), ("eyeLookOutRight", -left),
            ("eyeLookUpLeft", up), ("eyeLookUpRight", up), ("eyeLookDownLeft", -up), ("eyeLookDownRight", -up),
        ):  # fmt: skip
            out[:, ARKIT_INDEX[name]] = np.clip(value, 0, 1)
        return out

    @staticmethod
    def valid() -> np.ndarray:
        """(52,) bool: the shapes this fit says something about."""
        return np.array([n not in NOT_SEEN for n in ARKIT_NAMES])


def _gaze(scores: np.ndarray) -> np.ndarray:
    """Both eyes' gaze (F, 2): towards the face's left, and up, in shape weights."""
    s = {n: scores[:, ARKIT_INDEX[n]] for n in ARKIT_NAMES if n.startswith("eyeLook")}
    left = s["eyeLookOutLeft"] - s["eyeLookInLeft"] + s["eyeLookInRight"] - s["eyeLookOutRight"]
    up = s["eyeLookUpLeft"] + s["eyeLookUpRight"] - s["eyeLookDownLeft"] - s["eyeLookDownRight"]
    return np.column_stack([left / 2, up / 2])
