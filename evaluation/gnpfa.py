"""GNPFA on people and expressions that it was never trained on: ``media2face evaluate gnpfa``.

Reads the shipped ONNX files; torch is not needed. Every figure stands beside what a dead model (the neutral, the
training mean) and a linear one of as many numbers (PCA) reach. Geometry and personalities are made by rules
(``data/range_of_motion.py``): synthetic; weights of takes and tracked video are real.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..data.range_of_motion import RangeOfMotion
from ..data.rig import ICTRig
from ..runtime.arkit import ARKIT_INDEX
from ..runtime.decoder import FaceDecoder
from ..runtime.sessions import weights_folder
from .figures import Context, Figure
from .gnpfa_faces import Face, LinearFaces, TestFaces, best_codes, real_frames

MOVED_MM = 0.5
BENT_MM = 0.5
USED = 0.05
_FILES = ("gnpfa_decoder", "gnpfa_encoder", "gnpfa_from_weights", "gnpfa_to_weights")


def geometry(context: Context) -> list[Figure]:
    """Reconstruction through E_geo and through M, transfer to other people, and the linear baseline."""
    faces, decoder, linear = context.faces, context.decoder, context.linear
    true = faces.true()
    made: dict[str, list[np.ndarray]] = {k: [] for k in ("encoded", "mapped", "pca", "moved on", "wanted", "copied")}
    seen = []
    for i, face in enumerate(tqdm(faces.people, desc="faces", unit="person")):
        z = decoder.encode(faces.mesh(face), face.neutral)
        seen.append(z)
        made["encoded"].append(faces.skin_offsets(face, decoder.mesh(z, face.neutral)))
        made["mapped"].append(faces.skin_offsets(face, decoder.mesh(decoder.latents(face.weights), face.neutral)))
        own = face.offsets[:, faces.skin]
        made["pca"].append(linear.met(linear.rebuild(own, decoder.latent_dim), face))
        other = faces.people[(i + 5) % len(faces.people)]
        made["moved on"].append(faces.skin_offsets(other, decoder.mesh(z, other.neutral)))
        made["wanted"].append(faces.rom.offsets(other.person, face.weights)[:, faces.skin])
        made["copied"].append(linear.met(own, other))
    got = {k: np.concatenate(v) for k, v in made.items()}
    length = {k: _mm(got[k], true) for k in ("encoded", "mapped", "pca")}
    length |= {"neutral": _mm(true), "mean": _mm(true, linear.mean.reshape(1, -1, 3))}
    moved, lips = length["neutral"] > MOVED_MM, faces.lips
    names = {"encoded": "E_geo", "mapped": "M", "neutral": "neutral", "mean": "training mean", "pca": "PCA 64"}

    def beside(pick: Callable[[np.ndarray], float], *leave: str) -> dict[str, float]:
        return {names[k]: pick(v) for k, v in length.items() if k not in leave}

    still = length["neutral"][moved].mean()
    wanted = got["wanted"]
    transfer = _mm(got["moved on"], wanted)
    baseline = {"neutral": float(_mm(wanted).mean()), "copied offsets": float(_mm(got["copied"], wanted).mean())}
    weights = np.concatenate([f.weights for f in faces.people])
    back = decoder.weights(np.concatenate(seen))
    out = [
        Figure("recon_mm", length["encoded"].mean(), "mm", "E_geo then G_geo, mean over the face", 0.5,
               beside=beside(np.mean, "encoded")),
        Figure("lip_mm", length["encoded"][:, lips].mean(), "mm", "the same, at the lips", 1.0,
               beside=beside(lambda e: e[:, lips].mean(), "encoded")),
        Figure("moved_share", length["encoded"][moved].mean() / still, "of neutral",
               f"error over vertices that move > {MOVED_MM} mm, against their motion", 0.25,
               beside=beside(lambda e: e[moved].mean() / still, "encoded")),
        Figure("mapped_mm", length["mapped"].mean(), "mm", "M then G_geo, mean over the face", 0.5,
               beside=beside(np.mean, "mapped", "encoded")),
        Figure("transfer_mm", transfer.mean(), "mm", "A's code on B's neutral, against B's own expression", 0.8,
               beside=baseline),
        Figure("transfer_lip_mm", transfer[:, lips].mean(), "mm", "the same, at the lips",
               beside={"neutral": float(_mm(wanted)[:, lips].mean()),
                       "copied offsets": float(_mm(got["copied"], wanted)[:, lips].mean())}),
        Figure("seen_weight_mae", np.abs(back - weights)[weights > USED].mean(), "weight",
               f"E_geo then M', over true weights > {USED}", beside={"neutral": weights[weights > USED].mean()}),
    ]  # fmt: skip
    return out


def against_linear(context: Context, people: int = 8, every: int = 3) -> list[Figure]:
    """How non-linear the set is, and the best that 64 numbers can say there: in GNPFA's space and on principal axes.

    Both read the face itself: PCA by projection, GNPFA by :func:`best_codes`; E_geo's code stands beside.
    """
    faces, decoder, linear = context.faces, context.decoder, context.linear
    rows: dict[str, list[np.ndarray]] = {k: [] for k in ("best", "E_geo", "PCA 64", "neutral", "personal", "bent")}
    for known in tqdm(faces.people[1 : people + 1], desc="best codes", unit="person"):
        face = Face(known.person, known.neutral, known.weights[::every], known.offsets[::every])
        true = face.offsets[:, faces.skin]
        seen = decoder.encode(faces.mesh(face), face.neutral)
        best = best_codes(decoder, faces, face, seen)
        for name, code in (("E_geo", seen), ("best", best)):
            rows[name].append(_mm(faces.skin_offsets(face, decoder.mesh(code, face.neutral)), true))
        rows["PCA 64"].append(_mm(linear.met(linear.rebuild(true, decoder.latent_dim), face), true))
        rows["neutral"].append(_mm(true))
        rows["personal"].append(faces.away(face, from_own=False))
        rows["bent"].append(faces.away(face, from_own=True))
    got = {k: np.concatenate(v) for k, v in rows.items()}
    true = faces.true()
    residual = {f"PCA {k}": _mm(linear.rebuild(true, k), true).mean() for k in (16, 52, 128, 256)}
    share = {k: 100 * got[k].mean() / got["neutral"].mean() for k in ("personal", "bent")}
    out = [
        Figure("set_nonlinear", share["personal"], "% of motion", "how far the truth lies from the rig's linear shapes",
               beside={"from each person's own blendshapes": share["bent"]}),
        Figure("set_pca64_mm", _mm(linear.rebuild(true, 64), true).mean(), "mm", "what 64 linear axes leave of the set",
               beside=residual),
    ]  # fmt: skip
    for name, text in (("personal", "the rig's linear shapes"), ("bent", "each person's own linear blendshapes")):
        part = got[name] > BENT_MM
        beside = {k: got[k][part].mean() for k in ("E_geo", "PCA 64", "neutral")}
        share = f"{100 * part.mean():.0f} % of the skin"
        meaning = f"best code of 64 numbers, where the truth lies > {BENT_MM} mm from {text} ({share})"
        goal = float(beside["PCA 64"])
        out.append(Figure(f"{name}_mm", got["best"][part].mean(), "mm", meaning, goal, beside=beside))
    return out


def mappings(context: Context) -> list[Figure]:
    """M then M', on the test faces and on held-out real frames, and through the rig at the lips."""
    decoder, rig = context.decoder, context.faces.rom.rig
    weights = np.concatenate([f.weights for f in context.faces.people])
    real = real_frames(context.data)
    everything = np.concatenate([weights, *real.values()])
    back = decoder.weights(decoder.latents(everything))
    used, unused = everything > USED, everything < 0.01
    rest = {"neutral": everything[used].mean()}
    out = [
        Figure("weight_mae", np.abs(back - everything)[used].mean(), "weight", f"over true weights > {USED}", 0.05,
               beside=rest),
        Figure("false_activation", back[unused].mean(), "weight", "mean where the true weight is < 0.01", 0.02,
               beside={"99th percentile": float(np.percentile(back[unused], 99))}),
    ]  # fmt: skip
    lips = rig.landmarks[48:68]
    for name, frames in real.items():
        truth = rig.vertices(frames, subset=lips)
        error = _mm(rig.vertices(decoder.weights(decoder.latents(frames)), subset=lips), truth).mean()
        still = {"neutral": _mm(rig.neutral[lips], truth).mean()}
        meaning = f"M then M' of real frames ({name}), the rig's lips"
        out.append(Figure(f"{name}_lip_mm", error, "mm", meaning, 1.0, beside=still))
    return out


def maps(context: Context) -> list[Figure]:
    """Mesh to map to mesh, by part."""
    rom, faces = context.faces.rom, context.faces
    offsets = np.concatenate([f.offsets for f in faces.people[:6]])
    error = _mm(rom.atlas.to_mesh(rom.atlas.to_map(offsets)), offsets)
    tongue = np.abs(rom.deltas[ARKIT_INDEX["tongueOut"]]).max(axis=1) > 0
    skin, importance = np.zeros(len(tongue), bool), rom.atlas.importance
    skin[faces.skin] = True
    lips = importance == importance.max()
    parts = {"skin": skin, "lips": lips, "lids": (importance > 1) & ~lips, "lining": ~skin & ~tongue, "tongue": tongue}
    return [Figure(f"map_{k}_mm", error[:, m].mean(), "mm", f"mesh to map to mesh, {k}",
                   beside={"motion": _mm(offsets)[:, m].mean()}) for k, m in parts.items()]  # fmt: skip


def tracked(context: Context) -> list[Figure]:
    """M' of motion tracked in held-out GRID video, through the rig, at the lips."""
    from .gnpfa_video import tracked_clips

    rig, lips = context.faces.rom.rig, context.faces.rom.rig.landmarks[48:68]
    clips = tracked_clips(context.data)
    if isinstance(clips, str):
        tqdm.write(f"grid_lip_mm is left out: {clips}")
        return []
    mapped, seen, still = [], [], []
    for clip in clips:
        back = context.decoder.weights(context.decoder.latents(clip.weights))
        made, fitted = rig.vertices(back, subset=lips), rig.vertices(clip.weights, subset=lips)
        mapped.append(10 * np.linalg.norm(made - fitted, axis=-1).mean())
        seen.append(10 * np.linalg.norm((made - clip.lips)[..., :2], axis=-1).mean())
        still.append(10 * np.linalg.norm((rig.neutral[lips] - clip.lips)[..., :2], axis=-1).mean())
    return [
        Figure("grid_lip_mm", float(np.mean(mapped)), "mm", "M then M' of tracked GRID test clips, the rig's lips", 1.0,
               beside={"neutral": float(np.mean(still))}),
        Figure("grid_landmark_mm", float(np.mean(seen)), "mm", "the same against the tracked landmarks (x and y)", 1.0,
               beside={"neutral": float(np.mean(still))}),
    ]  # fmt: skip


def speed(context: Context, frames: int = 256, rounds: int = 6) -> list[Figure]:
    """z to 52 weights and the mesh. The machine may be shared, so processor time counts; the clock stands beside it."""
    z = np.tile(context.decoder.latents(context.faces.people[0].weights), (12, 1))[:frames]

    def decode(decoder: FaceDecoder) -> None:
        decoder.weights(z)
        decoder.mesh(z)

    pair = (context.decoder, FaceDecoder())
    for decoder in pair:
        decode(decoder)
    one = [_clock(lambda: decode(pair[0])) for _ in range(rounds)]
    with ThreadPoolExecutor(2) as threads:
        two = [_clock(lambda: list(threads.map(decode, pair))) for _ in range(rounds)]
    size = sum((weights_folder() / f"{name}.onnx").stat().st_size for name in _FILES)
    return [
        Figure("decode_fps", 2 * frames / min(c for _, c in two) * 2, "frames/s",
               "weights and mesh, per second of two cores' processor time", 500.0, True,
               beside={"by the clock, two threads": 2 * frames / min(t for t, _ in two),
                       "by the clock, one thread": frames / min(t for t, _ in one)}),
        Figure("size_mb", size / 1e6, "MB", "the four GNPFA networks", 8.0),
    ]  # fmt: skip


def vision(context: Context) -> list[Figure]:
    """E_exp and E_pose, see :mod:`media2face.evaluation.vision`."""
    from .vision import figures

    return figures(context)


SECTIONS: tuple[Callable[[Context], list[Figure]], ...] = (
    geometry, against_linear, mappings, maps, tracked, speed, vision,
)  # fmt: skip
"""What ``evaluate`` runs, in this order."""


def evaluate(data: Path, people: int = 16, faces: int = 24) -> tuple[list[Figure], Context]:
    """Run all sections on the shipped weights.

    Raises:
        FileNotFoundError: if ``data`` lacks the rig or the takes.
    """
    decoder = FaceDecoder(threads=1)
    rom = RangeOfMotion(ICTRig.load(data))
    held_out = TestFaces(rom, decoder.rig, data, people, faces)
    context = Context(data, decoder, held_out, LinearFaces(held_out, data))
    figures = [figure for section in SECTIONS for figure in section(context)]
    return figures, context


def markdown(figures: list[Figure]) -> str:
    """The figures as a table."""
    rows = ["| figure | value | goal | beside it | what |", "| --- | --- | --- | --- | --- |"]
    for f in figures:
        sign, verdict = ">=" if f.at_least else "<=", "yes" if f.met else "**no**"
        goal = "" if f.goal is None else f"{sign} {_short(f.goal)} {verdict}"
        beside = ", ".join(f"{k} {_short(v)}" for k, v in f.beside.items())
        rows.append(f"| {f.name} | {_short(f.value)} {f.unit} | {goal} | {beside} | {f.meaning} |")
    return "\n".join(rows)


def as_dict(figures: list[Figure]) -> dict[str, dict]:
    """The figures for a JSON file."""
    return {
        f.name: {"value": float(f.value), "unit": f.unit, "goal": f.goal, "met": None if f.met is None else bool(f.met),
                 "beside": {k: float(v) for k, v in f.beside.items()}, "what": f.meaning}
        for f in figures
    }  # fmt: skip


def _mm(got: np.ndarray, wanted: np.ndarray | float = 0.0) -> np.ndarray:
    return 10.0 * np.linalg.norm(got - wanted, axis=-1)


def _clock(work: Callable[[], object]) -> tuple[float, float]:
    before = time.perf_counter(), sum(os.times()[:2])
    work()
    return time.perf_counter() - before[0], max(sum(os.times()[:2]) - before[1], 1e-6)


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
