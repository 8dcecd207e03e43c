"""The default head as glTF: a GLB with the 52 ARKit shapes, eyes that turn, a neck, teeth and tongue.

    python -m media2face.bodies.gltf.head -o bodies/web/static

Every shape is what our GNPFA decoder makes of one weight at 1 (``FaceDecoder.mesh`` of ``latents`` of a one-hot row),
less its neutral. glTF's axes are +Y up, +Z forward: glTF (x, y, z) = ROS (y, z, x). See docs/gltf.md.
"""

from __future__ import annotations

import argparse
import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from ...runtime.eyes import eye_middle
from ..paint import HAIR, Paint, eye_colour, lip_share, paint
from .container import ARRAY, INDICES, Glb, describe
from .error import BlendedHead
from .lashes import lashes, texture
from .lite import installed, simplify, tidy
from .shapes import Piece, Shapes, numbered
from .skin import bake, chart

if TYPE_CHECKING:
    from ...runtime.decoder import FaceDecoder

COPYRIGHT = "Apache-2.0, media2face; the mesh is cut from ICT-FaceKit, MIT, USC-ICT"
STEP = 25e-6
"""Metres of one unit of a quantised position."""
EYE_STEP = 1e-6
STILL = 0.1e-3
"""Metres; a vertex that a shape moves less is left out of it."""
MOUTH, TEETH = ("mouth_socket", "tongue"), ("gums", "teeth")
TEXELS, _EYE_TEXELS = 1024, 512
FACE_SHARE, TEETH_SHARE = 0.85, 0.5
LITE = {"face": 0.2, "mouth": 0.2, "teeth": 0.2, "eye": 0.4}
"""Shares of the triangles that are kept: of the heavier head's skin and teeth, and of the lighter one's parts."""


def to_gltf(points: np.ndarray) -> np.ndarray:
    """(..., 3) ROS axes (x forward, y left, z up) to glTF's (x left, y up, z forward)."""
    return points[..., [1, 2, 0]]


def build(
    decoder: FaceDecoder, neutral: np.ndarray | None = None, image: np.ndarray | bytes | None = None, lite: bool = False
) -> Glb:
    """The head as a GLB.

    Args:
        decoder: networks and rig.
        neutral: (V, 3) metres, another identity in the rig's topology.
        image: the skin's linear colours (``gltf_skin.bake``) or a whole JPEG, where it is known already; drawing it
            takes half a minute.
        lite: about a fifth of the triangles and a quarter of the texels.
    """
    name = "head_lite" if lite else "head"
    rig, coat = decoder.rig, paint(decoder.rig)
    form = Shapes.ask(decoder, neutral)
    glb = Glb(name=name)
    glb.tree["asset"]["copyright"] = COPYRIGHT
    glb.tree["extensionsUsed"] = glb.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    pivot = to_gltf(rig.neck_pivot)
    nodes = {"body": {"name": "body", "children": [1]}, "head": {"name": "head", "translation": pivot.tolist()}}
    for node in nodes.values():
        glb.add("nodes", node)
    joints = np.stack([np.diag([STEP, STEP, STEP, 1.0])] * 2).astype(np.float32)
    joints[1, :3, 3] = -pivot
    glb.add("skins", {
        "name": "neck", "skeleton": 0, "joints": [0, 1],
        "inverseBindMatrices": glb.accessor(joints.transpose(0, 2, 1).reshape(2, 16)),
    })  # fmt: skip
    used, triangles, uv = chart(rig)
    skin = form.piece(used, triangles, coat.offset, uv=uv, stays=coat.stays[used])
    image = bake(rig, coat, used, triangles, uv, TEXELS) if image is None else image
    if lite:
        image = image.reshape(len(image) // 2, 2, -1, 2, 3).mean(axis=(1, 3))
    inner, triangles = numbered(rig.triangles, [rig.parts[p] for p in MOUTH])
    colours = _colours(coat, form.rest, rig.parts["tongue"])
    mouth = form.piece(inner, triangles, coat.offset, colours=colours[inner])
    inner, triangles = numbered(rig.triangles, [rig.parts[p] for p in TEETH])
    teeth = form.piece(inner, triangles, coat.offset, colours=colours[inner])
    fringe = lashes(rig, form)
    if lite:
        skin = simplify(skin, LITE["face"], _detail(skin, rig))
        mouth = simplify(mouth, LITE["mouth"])
    front = 1.0 + 3.0 * (teeth.points[:, 0] > form.rest[coat.lips[0], 0] - 0.028)
    if installed():
        skin = skin if lite else simplify(skin, FACE_SHARE, _detail(skin, rig))
        teeth = simplify(teeth, LITE["teeth"] if lite else TEETH_SHARE, front)
    place = {"translation": (-pivot).tolist(), "scale": [STEP] * 3}
    skin_material = _material(glb, "skin", 0.5, image, quality=86)
    mesh = add_mesh(glb, "face", tidy(skin), skin_material, every=True)
    roots = [0, glb.add("nodes", {"name": "face", "mesh": mesh, "skin": 0})]
    children = []
    for label, piece, material in (
        ("mouth", mouth, _material(glb, "mouth", 0.6)),
        ("teeth", teeth, _material(glb, "teeth", 0.35)),
        ("lashes", fringe, _lash_material(glb)),
    ):
        mesh = add_mesh(glb, label, tidy(piece), material)
        children.append(glb.add("nodes", {"name": label, "mesh": mesh} | place))
    eye = _eye_material(glb)
    for side, centre in zip(("Left", "Right"), rig.eye_centres, strict=True):
        first, last = rig.parts[f"eye_{side.lower()}"]
        centre = eye_middle(form.rest[first:last], rig.neutral[first:last], centre)
        used, triangles = numbered(rig.triangles, [(first, last)])
        ball = form.piece(used, triangles, np.zeros_like(form.rest))
        ball.points = ball.points - centre
        ball.uv = _eye_uv(ball.points)
        if lite:
            ball = simplify(ball, LITE["eye"])
        mesh = add_mesh(glb, f"eye{side}", tidy(ball), eye, EYE_STEP)
        spot = {"translation": (to_gltf(centre) - pivot).tolist(), "scale": [EYE_STEP] * 3}
        children.append(glb.add("nodes", {"name": f"eye{side}", "mesh": mesh} | spot))
    nodes["head"]["children"] = children
    glb.add("scenes", {"name": name, "nodes": roots})
    glb.tree["scene"] = 0
    return glb


def add_mesh(glb: Glb, name: str, piece: Piece, material: int, step: float = STEP, every: bool = False) -> int:
    """A mesh with the shapes that move it (``every``: with all 52); its index. Its unit is ``step`` metres."""
    attributes = {
        "POSITION": glb.accessor(_steps(to_gltf(piece.points), step), ARRAY, bounds=True),
        "NORMAL": glb.accessor(_unit_bytes(to_gltf(piece.normals)), ARRAY, True),
    }
    if piece.colours is not None:
        attributes["COLOR_0"] = glb.accessor(np.round(piece.colours * 65535).astype(np.uint16), ARRAY, True)
    if piece.uv is not None:
        attributes["TEXCOORD_0"] = glb.accessor(np.round(piece.uv * 65535).astype(np.uint16), ARRAY, True)
    if piece.stays is not None:
        stay = np.round(255 * piece.stays).astype(np.uint8)
        pair = np.stack([255 - stay, stay], axis=1)  # joint 1 is the head, joint 0 the body
        joints, weights = np.zeros((len(stay), 4), np.uint8), np.zeros((len(stay), 4), np.uint8)
        joints[:, 0], weights[:, :2] = stay < 255, pair
        weights[stay == 255, :2] = 255, 0
        attributes |= {"JOINTS_0": glb.accessor(joints, ARRAY), "WEIGHTS_0": glb.accessor(weights, ARRAY, True)}
    targets, names = _targets(glb, piece, step, every)
    indices = glb.accessor(piece.triangles.reshape(-1).astype(np.uint16), INDICES)
    primitive = {"attributes": attributes, "indices": indices, "material": material}
    mesh = {"name": name, "primitives": [primitive]}
    if targets:
        primitive["targets"] = targets
        mesh |= {"weights": [0] * len(names), "extras": {"targetNames": names}}
    return glb.add("meshes", mesh)


def _targets(glb: Glb, piece: Piece, step: float, every: bool) -> tuple[list[dict], list[str]]:
    """Morph targets as sparse accessors: only vertices that move; rows, positions and normals in a view each."""
    rows = {n: np.flatnonzero((d**2).sum(axis=1) > STILL**2) for n, d in zip(ARKIT_NAMES, piece.deltas, strict=True)}
    rows = {n: r for n, r in rows.items() if len(r) or every}
    if not rows:
        return [], []
    places = [_steps(to_gltf(piece.deltas[ARKIT_INDEX[n], r]), step) for n, r in rows.items()]
    turns = [_unit_bytes(to_gltf(piece.turns[ARKIT_INDEX[n], r])) for n, r in rows.items()]
    index = [r.astype(np.uint16) for r in rows.values()]
    views = [glb.view(np.concatenate(a).tobytes()) for a in (index, places, turns)]
    targets, at = [], 0
    for count, place, turn in zip(map(len, index), places, turns, strict=True):
        target = {}
        for key, values, view in (("POSITION", place, views[1]), ("NORMAL", turn, views[2])):
            still = np.zeros((int(count < len(piece.points)), 3), values.dtype)
            bounds = np.concatenate([values, still]) if key == "POSITION" else None
            item = describe(values, key == "NORMAL", bounds) | {"count": len(piece.points)}
            if count:
                item["sparse"] = {
                    "count": count,
                    "indices": {"bufferView": views[0], "byteOffset": 2 * at, "componentType": 5123},
                    "values": {"bufferView": view, "byteOffset": 3 * values.itemsize * at},
                }
            target[key] = glb.add("accessors", item)
        targets.append(target)
        at += count
    return targets, list(rows)


def _steps(points: np.ndarray, step: float) -> np.ndarray:
    return np.round(points / step).astype(np.int16)


def _unit_bytes(values: np.ndarray) -> np.ndarray:
    return np.round(127 * np.clip(values, -1, 1)).astype(np.int8)


def _detail(skin: Piece, rig) -> np.ndarray:
    """How much a vertex of the skin (n,) counts when triangles are left out: lids and lips most."""
    marks = rig.neutral[rig.landmarks[36:]]  # eyes and mouth
    away = np.min([np.linalg.norm(skin.points - mark, axis=1) for mark in marks], axis=0)
    return 1.0 + 3.0 * np.exp(-0.5 * (away / 0.008) ** 2)


def _colours(coat: Paint, rest: np.ndarray, tongue: tuple[int, int]) -> np.ndarray:
    """Linear RGB of every vertex inside the mouth, darker further in, (V, 3) in 0..1."""
    depth = np.clip((rest[coat.lips[0], 0] - rest[:, 0] - 0.002) / 0.026, 0.0, None)
    shade = 0.85 * np.exp(-1.3 * depth)
    own = rest[slice(*tongue), 0]
    shade[slice(*tongue)] = 0.75 * np.exp(-0.8 * (own.max() - own) / 0.026)  # its tip comes out into the light
    return np.clip(coat.albedo * shade[:, None], 0, 1)


def _eye_uv(out: np.ndarray) -> np.ndarray:
    """(n, 2): equal angles from the gaze lie equally far from the middle, so that the back has its place too."""
    seen = out / np.linalg.norm(out, axis=1, keepdims=True)
    angle = np.arccos(np.clip(seen[:, :1], -1, 1)) / np.pi
    across = seen[:, 1:] / np.maximum(np.linalg.norm(seen[:, 1:], axis=1, keepdims=True), 1e-9)
    return 0.5 + 0.5 * angle * across * [1, -1]


def _material(glb: Glb, name: str, roughness: float, image: np.ndarray | bytes | None = None, quality: int = 88) -> int:
    """A material that is no metal, with a texture of linear colours (H, W, 3 or 4) or the vertices' colours."""
    pbr = {"metallicFactor": 0, "roughnessFactor": roughness}
    if image is not None:
        pbr["baseColorTexture"] = {"index": _texture(glb, name, image, quality)}
    return glb.add("materials", {"name": name, "pbrMetallicRoughness": pbr})


def _lash_material(glb: Glb) -> int:
    cover = texture()
    image = np.concatenate([np.broadcast_to(0.4 * HAIR, (*cover.shape, 3)), cover[..., None]], axis=-1)
    number = _material(glb, "lashes", 0.7, image)
    glb.items("materials")[number] |= {"alphaMode": "BLEND", "doubleSided": True}
    return number


def _eye_material(glb: Glb) -> int:
    """Sclera, iris and pupil drawn over equal angles from the gaze."""
    across, up = np.meshgrid(*[np.linspace(-1, 1, _EYE_TEXELS)] * 2)
    angle = np.pi * np.hypot(across, up).clip(0, 1)
    around = np.arctan2(-up, across)
    direction = np.stack([np.cos(angle), np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around)], axis=-1)
    return _material(glb, "eye", 0.06, eye_colour(direction.reshape(-1, 3)).reshape(*angle.shape, 3))


def shipped_skin(path: Path) -> bytes | None:
    """The JPEG of the skin inside a head that :func:`build` made, None without the file."""
    if not path.is_file():
        return None
    glb = Glb.read(path)
    image = next(image for image in glb.items("images") if image["name"] == "skin")
    view = glb.items("bufferViews")[image["bufferView"]]
    return bytes(glb.blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])


def _texture(glb: Glb, name: str, image: np.ndarray | bytes, quality: int) -> int:
    """A texture of linear colours (H, W, 3 or 4): a JPEG, or PNG where there is alpha, sRGB inside; or of a JPEG."""
    kind, data = ("jpeg", image) if isinstance(image, bytes) else _encoded(image, quality)
    item = {"name": name, "mimeType": f"image/{kind}", "bufferView": glb.view(data)}
    if not glb.items("samplers"):
        glb.add("samplers", {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071})
    return glb.add("textures", {"name": name, "source": glb.add("images", item), "sampler": 0})


def _encoded(linear: np.ndarray, quality: int) -> tuple[str, bytes]:
    linear = np.clip(linear, 0, 1)
    display = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    display[..., 3:] = linear[..., 3:]
    kind = "png" if linear.shape[2] == 4 else "jpeg"
    file = io.BytesIO()
    options = {"optimize": True} if kind == "png" else {"quality": quality, "optimize": True}
    Image.fromarray(np.round(255 * display).astype(np.uint8)).save(file, kind, **options)
    return kind, file.getvalue()


def main() -> None:
    """Write head.glb and head_lite.glb into a folder; with speech, say how far they lie from the decoder."""
    from ...runtime.decoder import FaceDecoder

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("bodies/web/static"), metavar="FOLDER")
    parser.add_argument("--measure", type=Path, metavar="SPEECH", help="compare with the decoder over this recording")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    decoder = FaceDecoder()
    rig = decoder.rig
    image = bake(rig, paint(rig), *chart(rig), TEXELS)
    for name in ("head", "head_lite"):
        glb = build(decoder, image=image, lite=name == "head_lite")
        data = glb.to_bytes()
        (args.out / f"{name}.glb").write_bytes(data)
        places = [mesh["primitives"][0]["attributes"]["POSITION"] for mesh in glb.items("meshes")]
        vertices = sum(glb.items("accessors")[place]["count"] for place in places)
        packed = len(gzip.compress(data, 9)) / 1e6
        print(f"{name}.glb: {vertices} vertices, {len(data) / 1e6:.2f} MB, gzip {packed:.2f} MB")
    if args.measure:
        from ...runtime.offline import animate

        head = BlendedHead(Glb.read(args.out / "head.glb"), rig)
        away = head.errors(decoder, animate(args.measure).latents)
        lips = np.isin(head.rows, np.flatnonzero(lip_share(rig.neutral, rig.neutral[rig.landmarks]) > 0.5))
        for label, part in (("all", away), ("lips", away[:, lips])):
            mean, most = part.mean(), np.percentile(part, 99.9)
            print(f"{label}: mean {mean:.3f} mm, 99.9 % below {most:.2f} mm, {part.shape[1]} vertices")


if __name__ == "__main__":
    main()
