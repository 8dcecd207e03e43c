"""The vision encoders on people, expressions, lights and backgrounds that they were never trained on.

Pictures are taken of the held-out faces of ``media2face evaluate gnpfa``: by the studio that made the training pictures
(other people, other draws), and by the product's own renderer, which made none of them. Each is read from the whole
picture, finding the face included; a face that is not found counts as a neutral one. On GRID's test clips the lip gap
is compared with the landmarks of MediaPipe, where that is installed (the [train] extra).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..bodies.render import HALF_ANGLE, Renderer
from ..data.face_pictures import Studio, View, backdrop
from ..data.rig import ICTRig
from ..runtime.errors import ConfigError, InputError, ModelError
from ..runtime.rotation import matrices_from_quaternions, quaternions_from_rotvecs
from ..runtime.sessions import weights_folder
from ..runtime.vision import FaceTracker, TrackerConfig
from .figures import Context, Figure

SEED = 77
STUDIO_SIZE, STUDIO_MARGIN = 256, 2.0
RENDER_SIZE = 320
CROPPED_FOV = 10.0
"""Degrees, for pictures that are cut out round the face: their middle is not the camera's axis."""
FILES = ("vision_locator", "vision_pose", "vision_expression")


def figures(context: Context, people: int = 12, clips: int = 10) -> list[Figure]:
    """All figures of the vision encoders; a line says what is left out, and why."""
    try:
        near, far, tracker = (
            FaceTracker(decoder=context.decoder, config=TrackerConfig(field_of_view=angle))
            for angle in (CROPPED_FOV, 2 * np.degrees(HALF_ANGLE), 60.0)
        )
    except ModelError as error:
        tqdm.write(f"the vision encoders are left out: {error}")
        return []
    out = studio(context, near, people) + product_renderer(context, far, max(3, people // 2))
    return out + grid(context, near, clips) + cost(tracker)


def studio(context: Context, tracker: FaceTracker, people: int) -> list[Figure]:
    """Varied light, camera, skin and background."""
    rng, camera = np.random.default_rng(SEED), Studio(context.decoder.rig, STUDIO_SIZE, STUDIO_MARGIN)

    def take(vertices: np.ndarray, neutral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        view = View.sample(rng, turned=0.0)
        cast = camera.cast(vertices, neutral, view)
        return camera.shade(cast, rng, backdrop(rng, STUDIO_SIZE)), view.rotation

    score = _read(context, tracker, people, take)
    return [
        Figure("vision_mm", score["mm"], "mm", "pictures of held-out faces, varied light and camera", 1.5,
               beside={"neutral": score["neutral"], "training mean": score["mean"]}),
        Figure("vision_share", score["mm"] / score["neutral"], "of neutral", "the same against the neutral's", 0.4,
               beside={"training mean": score["mean"] / score["neutral"]}),
        Figure("vision_lip_mm", score["lips"], "mm", "the same, at the lips",
               beside={"neutral": score["neutral lips"]}),
        Figure("vision_pose_deg", score["degrees"], "degrees", "head rotation in the same pictures", 3.0,
               beside={"facing the camera": score["frontal"], "median": score["median degrees"]}),
        Figure("vision_found", 100 * score["found"], "%", "faces found in them", beside={"pictures": score["count"]}),
    ]  # fmt: skip


def product_renderer(context: Context, tracker: FaceTracker, people: int) -> list[Figure]:
    """Pictures by ``bodies/render.py``, head turned up to 25 degrees."""
    rng, renderer = np.random.default_rng(SEED), Renderer(context.decoder.rig, (RENDER_SIZE, RENDER_SIZE))

    def take(vertices: np.ndarray, neutral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        quaternion = quaternions_from_rotvecs(np.radians(rng.uniform(-1, 1, (1, 3)) * [8, 12, 25]))
        return renderer.render(vertices, quaternion[0]), matrices_from_quaternions(quaternion)[0]

    score = _read(context, tracker, people, take)
    return [
        Figure("vision_render_mm", score["mm"], "mm", "the product's renderer, which made no training picture", 1.5,
               beside={"neutral": score["neutral"]}),
        Figure("vision_render_deg", score["degrees"], "degrees", "head rotation in the same", 3.0,
               beside={"facing the camera": score["frontal"]}),
    ]  # fmt: skip


def _read(context: Context, tracker: FaceTracker, people: int, take) -> dict[str, float]:
    """Errors over one picture of every expression of the first ``people``."""
    faces, decoder = context.faces, context.decoder
    mean = np.asarray(decoder.meta["z_mean"], np.float32)[None]
    error: dict[str, list[np.ndarray]] = {k: [] for k in ("made", "neutral", "mean")}
    degrees, frontal, found, count = [], [], 0, 0
    for face in tqdm(faces.people[:people], desc="pictures", unit="person"):
        true = face.offsets[:, faces.skin]
        z = np.tile(decoder.latents(np.zeros((1, 52), np.float32)), (len(true), 1))
        for k, vertices in enumerate(faces.mesh(face)):
            picture, rotation = take(vertices, face.neutral)
            seen = tracker.read(picture)
            count += 1
            frontal.append(_degrees(rotation, np.eye(3)))
            if seen is None:  # counts as a neutral face that faces the camera
                degrees.append(frontal[-1])
                continue
            found += 1
            z[k] = seen.z
            degrees.append(_degrees(matrices_from_quaternions(seen.rotation[None])[0], rotation))
        error["made"].append(mm(faces.skin_offsets(face, decoder.mesh(z, face.neutral)), true))
        error["mean"].append(mm(faces.skin_offsets(face, decoder.mesh(mean, face.neutral)), true))
        error["neutral"].append(mm(true))
    whole = {k: np.concatenate(v) for k, v in error.items()}
    return {
        "mm": whole["made"].mean(), "neutral": whole["neutral"].mean(), "mean": whole["mean"].mean(),
        "lips": whole["made"][:, faces.lips].mean(), "neutral lips": whole["neutral"][:, faces.lips].mean(),
        "degrees": float(np.mean(degrees)) if degrees else 180.0, "frontal": float(np.mean(frontal)),
        "median degrees": float(np.median(degrees)) if degrees else 180.0, "found": found / count, "count": count,
    }  # fmt: skip


def grid(context: Context, tracker: FaceTracker, clips: int) -> list[Figure]:
    """The lip gap of GRID's test clips, as a camera would be tracked (with the filter), against tracked landmarks."""
    from ..data.extraction.pipeline import hash_split
    from ..data.extraction.video import Video

    folder = context.data / "grid_s1"
    videos = [p for p in sorted(folder.glob("*.mp4")) if hash_split(p.stem) == "test"][:clips]
    tracks = _landmarks(videos, context.data) if videos else f"no videos in {folder}"
    if isinstance(tracks, str):
        tqdm.write(f"vision_grid_gap_r is left out: {tracks}")
        return []
    rig = ICTRig.load(context.data)
    gaps, wanted, each, turn = [], [], [], []
    found = pictures = 0
    for video, (gap, rotation) in zip(tqdm(videos, desc="GRID", unit="clip"), tracks, strict=True):
        tracker.reset()
        seen = [tracker.track(picture, time) for time, picture in Video(video).frames()]
        keep = [k for k, face in enumerate(seen[: len(gap)]) if face is not None]
        found, pictures = found + len(keep), pictures + len(gap)
        if len(keep) < 10:
            continue
        made = rig.gap_mm(np.stack([seen[k].weights for k in keep]))
        gaps.append(made)
        wanted.append(gap[keep])
        each.append(np.corrcoef(made, gap[keep])[0, 1])
        turns = matrices_from_quaternions(np.stack([seen[k].rotation for k in keep]))
        turn += [_degrees(a, b) for a, b in zip(turns, rotation[keep], strict=True)]
    if not gaps:
        return [Figure("vision_grid_gap_r", 0.0, "r", "no face found in GRID's test clips", 0.8, True)]
    made, true = np.concatenate(gaps), np.concatenate(wanted)
    return [
        Figure("vision_grid_gap_r", np.corrcoef(made, true)[0, 1], "r", "lip gap of GRID test clips, against landmarks",
               0.8, True, beside={"worst clip": float(np.min(each)), "mean of clips": float(np.mean(each)),
                                "share of frames found": found / pictures}),
        Figure("vision_grid_gap_mm", np.abs(made - true).mean(), "mm", "the same, mean difference",
               beside={"neutral": np.abs(true - rig.gap_mm(np.zeros((1, 52), np.float32))).mean()}),
        Figure("vision_grid_deg", float(np.mean(turn)), "degrees", "head rotation of GRID test clips, the same"),
    ]  # fmt: skip


def _landmarks(videos: list[Path], data: Path) -> list[tuple[np.ndarray, np.ndarray]] | str:
    """Lip gap (F,) mm and head rotation (F, 3, 3) of each video; or why there are none."""
    try:
        from ..data.fit import ROS_AXES, Talker
        from ..data.tracking import VideoTracker

        with VideoTracker(data / "face_landmarker.task") as landmarks:
            tracks = [landmarks.track(video) for video in videos]
        talker = Talker(ICTRig.load(data), tracks)
    except (ConfigError, InputError, ImportError) as error:
        return str(error)
    out = []
    for track in tracks:
        local, (_, rotation, _) = talker.head_frame(track)
        out.append((talker.gap_mm(local), rotation[:, ROS_AXES][:, :, ROS_AXES]))
    return out


def cost(tracker: FaceTracker, rounds: int = 40) -> list[Figure]:
    """Milliseconds a picture while a face is followed, and the size of the weights."""
    renderer = Renderer(tracker.decoder.rig, (640, 480))
    picture = renderer.render(tracker.decoder.rig.neutral)
    tracker.reset()
    spent = []
    for k in range(rounds):
        began = time.perf_counter()
        tracker.track(picture, k / 30)
        spent.append(1000 * (time.perf_counter() - began))
    size = sum((weights_folder() / f"{name}.onnx").stat().st_size for name in FILES)
    return [
        Figure("vision_ms", float(np.median(spent[2:])), "ms", "640 x 480 picture to expression, one thread",
               beside={"first": spent[0], "p95": float(np.percentile(spent[2:], 95))}),
        Figure("vision_mb", size / 1e6, "MB", "the three vision networks", 6.0),
    ]  # fmt: skip


def mm(got: np.ndarray, wanted: np.ndarray | float = 0.0) -> np.ndarray:
    """Distances (...) in mm of points (..., 3) in cm."""
    return 10.0 * np.linalg.norm(got - wanted, axis=-1)


def _degrees(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(2 * np.arcsin(min(1.0, np.linalg.norm(a - b) / np.sqrt(8)))))
