"""Pictures of GNPFA: people x expressions beside the truth, a walk through the latent space, video beside its mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..bodies.render import Renderer, contact_sheet
from ..runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from .figures import Context
from .gnpfa_faces import Face
from .gnpfa_video import tracked_clips, video_frames

SIDE = 220
EXPRESSIONS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 1.0, "cheekSquint": 0.4}, "laugh": {"mouthSmile": 0.8, "jawOpen": 0.5, "cheekSquint": 0.7},
    "oo": {"mouthPucker": 0.9, "jawOpen": 0.2}, "blink": {"eyeBlink": 1.0, "eyeSquint": 1.0, "noseSneer": 0.6},
    "pressed": {"jawOpen": 0.4, "mouthClose": 0.5, "mouthPress": 0.6},
    "sad": {"mouthFrown": 0.9, "browDown": 0.9, "mouthShrugLower": 0.6},
    "amazed": {"jawOpen": 0.8, "browInnerUp": 1.0, "browOuterUp": 0.8, "eyeWide": 0.8},
}  # fmt: skip


def weights_of(*shapes: dict[str, float]) -> np.ndarray:
    """Weights (n, 52); a name without a side sets both."""
    out = np.zeros((len(shapes), len(ARKIT_NAMES)), np.float32)
    for row, shape in zip(out, shapes, strict=True):
        for name, value in shape.items():
            for side in ("",) if name in ARKIT_INDEX else ("Left", "Right"):
                row[ARKIT_INDEX[name + side]] = value
    return out


def write_pictures(context: Context, folder: Path) -> list[Path]:
    """Write the pictures as PNG into ``folder``; the video one needs GRID and the tracker."""
    folder.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(context.decoder.rig, (SIDE, SIDE))
    written = [
        _people(context, renderer, folder / "gnpfa_people.png"), _walk(context, renderer, folder / "gnpfa_walk.png")
    ]  # fmt: skip
    clips = tracked_clips(context.data, 3)
    if not isinstance(clips, str):
        frames = []
        for clip in clips:
            gap = context.faces.rom.rig.gap_mm(clip.weights)
            picked = sorted({int(gap.argmax()), int(len(gap) * 0.35), int(len(gap) * 0.6), int(gap.argmin())})
            mesh = context.decoder.mesh(context.decoder.latents(clip.weights[picked]))
            for pixels, head in zip(video_frames(clip.path, picked), mesh, strict=True):
                frames += [np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE))), renderer.render(head)]
        written.append(_save(contact_sheet(frames, 8), folder / "gnpfa_video.png"))
    return written


def _people(context: Context, renderer: Renderer, path: Path) -> Path:
    """Four people; per person a row of the truth over a row of what G_geo makes of its code."""
    faces, decoder, frames = context.faces, context.decoder, []
    weights = weights_of(*EXPRESSIONS.values())
    for known in faces.people[:4]:
        face = Face(known.person, known.neutral, weights, faces.rom.offsets(known.person, weights))
        truth = faces.mesh(face)
        made = decoder.mesh(decoder.encode(truth, face.neutral), face.neutral)
        frames += [_labelled(renderer.render(m), f"true {n}") for m, n in zip(truth, EXPRESSIONS, strict=True)]
        frames += [_labelled(renderer.render(m), "G_geo(E_geo)") for m in made]
    return _save(contact_sheet(frames, len(EXPRESSIONS)), path)


def _walk(context: Context, renderer: Renderer, path: Path, steps: int = 9) -> Path:
    """Straight lines in the latent space, from one expression to another, on two people."""
    decoder, frames = context.decoder, []
    ends = weights_of(EXPRESSIONS["oo"], EXPRESSIONS["laugh"], EXPRESSIONS["sad"], EXPRESSIONS["amazed"])
    start, goal, low, high = decoder.latents(ends)
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    for face, (a, b) in zip(context.faces.people[:2], ((start, goal), (low, high)), strict=True):
        frames += [renderer.render(m) for m in decoder.mesh(a + share * (b - a), face.neutral)]
    return _save(contact_sheet(frames, steps), path)


def _labelled(picture: np.ndarray, text: str) -> np.ndarray:
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((6, 4), text, fill=(235, 235, 235))
    return np.asarray(image)


def _save(sheet: np.ndarray, path: Path) -> Path:
    image = Image.fromarray(sheet).quantize(160, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    return path
