"""A performance as OpenUSD: our head with the 52 ARKit shapes, a skeleton for head and eyes, and both animated.

Written with ``usd-core`` (the extra ``media2face[usd]``: 210 MB). ``.usd`` and ``.usdc`` are binary, ``.usda`` is text.
Y is up, Z is forward, X is the face's left; metres; 30 time codes a second, the first at 0. The shapes are what the
GNPFA decoder makes of one weight at 1, and add up linearly, as the format has it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.arkit import ARKIT_NAMES
from ..runtime.errors import ConfigError
from ..runtime.eyes import eye_angles, eye_middle
from .gltf.shapes import Piece, Shapes, numbered
from .paint import SHIRT, eye_colour, paint, shirt_share

try:
    from pxr import Gf, Kind, Sdf, Usd, UsdGeom, UsdMedia, UsdShade, UsdSkel, Vt
except ImportError as error:
    raise ConfigError("writing USD needs usd-core: pip install 'media2face[usd]'") from error

if TYPE_CHECKING:
    from ..runtime.offline import Performance

JOINTS = ("body", "body/head", "body/head/eyeLeft", "body/head/eyeRight")
STILL = 0.05e-3
"""Metres; a vertex that a shape moves less is left out of it."""
_PARTS = {"Skin": ("face", "head_neck", "eye_sockets"), "Mouth": ("mouth_socket", "gums", "tongue"),
          "Teeth": ("teeth",), "EyeLeft": ("eye_left",), "EyeRight": ("eye_right",)}  # fmt: skip
_ROUGHNESS = {"Skin": 0.5, "Mouth": 0.3, "Teeth": 0.2, "EyeLeft": 0.06, "EyeRight": 0.06}
_TO_USD = [1, 2, 0]


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``; a speech file is referred to, not copied (samples in memory are left out)."""
    if decoder is None:
        from ..runtime.decoder import FaceDecoder

        decoder = FaceDecoder()
    stage = Usd.Stage.CreateInMemory()
    stage.SetMetadata("comment", f"face motion by media2face, model {performance.model}, seed {performance.seed}")
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(performance.fps)
    stage.SetFramesPerSecond(performance.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(performance.weights) - 1)
    root = UsdSkel.Root.Define(stage, "/Head")
    stage.SetDefaultPrim(root.GetPrim())
    Usd.ModelAPI(root.GetPrim()).SetKind(Kind.Tokens.component)
    places = _joint_places(decoder.rig, neutral)
    skeleton = _skeleton(stage, places)
    _meshes(stage, decoder, neutral, skeleton)
    _animate(stage, skeleton, performance, places, progress)
    if isinstance(performance.audio, (str, Path)):
        _sound(stage, Path(performance.audio), path.parent)
    layer = stage.GetRootLayer()
    options = {"format": "usda"} if path.suffix.lower() == ".usda" else {"format": "usdc"}
    if not layer.Export(str(path), args=options):
        raise OSError(f"OpenUSD could not write {path}")


def _joint_places(rig, neutral: np.ndarray | None) -> np.ndarray:
    """Of each joint at rest, (4, 3) metres, file's axes."""
    rest = rig.neutral if neutral is None else np.asarray(neutral, np.float32)
    eyes = [
        eye_middle(rest[slice(*rig.parts[name])], rig.neutral[slice(*rig.parts[name])], centre)
        for name, centre in zip(("eye_left", "eye_right"), rig.eye_centres, strict=True)
    ]
    return np.array([np.zeros(3), rig.neck_pivot, *eyes], np.float64)[:, _TO_USD]


def _skeleton(stage: Usd.Stage, places: np.ndarray) -> UsdSkel.Skeleton:
    skeleton = UsdSkel.Skeleton.Define(stage, "/Head/Skeleton")
    skeleton.CreateJointsAttr(JOINTS)
    world = [Gf.Matrix4d(1.0).SetTranslate(Gf.Vec3d(*place)) for place in places.tolist()]
    topology = UsdSkel.Topology(list(JOINTS))
    rest = [m if topology.IsRoot(i) else m * world[topology.GetParent(i)].GetInverse() for i, m in enumerate(world)]
    skeleton.CreateBindTransformsAttr(Vt.Matrix4dArray(world))
    skeleton.CreateRestTransformsAttr(Vt.Matrix4dArray(rest))
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    return skeleton


def _meshes(stage: Usd.Stage, decoder, neutral: np.ndarray | None, skeleton: UsdSkel.Skeleton) -> None:
    rig, coat, form = decoder.rig, paint(decoder.rig), Shapes.ask(decoder, neutral)
    colours = coat.albedo.copy()
    for side in ("eye_left", "eye_right"):
        ball = slice(*rig.parts[side])
        colours[ball] = eye_colour(colours[ball])  # there, albedo holds the direction from the eye's centre
    cloth = coat.cloth > 0
    colours[cloth] += shirt_share(coat.cloth[cloth])[:, None] * (SHIRT - colours[cloth])
    UsdGeom.Scope.Define(stage, "/Head/Materials")
    for name, parts in _PARTS.items():
        used, triangles = numbered(rig.triangles, [rig.parts[part] for part in parts])
        piece = form.piece(used, triangles, coat.offset, colours=colours[used], stays=coat.stays[used])
        mesh = _mesh(stage, name, piece)
        if name == "Skin":
            joints = np.tile([1, 0], len(used))
            weights = np.stack([1 - piece.stays, piece.stays], axis=1).reshape(-1)
        else:
            joint = JOINTS.index(f"body/head/eye{name[3:]}") if name.startswith("Eye") else 1
            joints, weights = np.full(len(used), joint), np.ones(len(used))
        element = len(joints) // len(used)  # influences of each point
        binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
        binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
        binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
        binding.CreateJointIndicesPrimvar(False, element).Set(Vt.IntArray.FromNumpy(joints.astype(np.int32)))
        binding.CreateJointWeightsPrimvar(False, element).Set(Vt.FloatArray.FromNumpy(weights.astype(np.float32)))
        if not name.startswith("Eye"):
            _shapes(stage, mesh, piece, binding)
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(_material(stage, name))


def _mesh(stage: Usd.Stage, name: str, piece: Piece) -> UsdGeom.Mesh:
    mesh = UsdGeom.Mesh.Define(stage, f"/Head/{name}")
    points = _vectors(piece.points)
    mesh.CreatePointsAttr(points)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(piece.triangles), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(piece.triangles.astype(np.int32).reshape(-1)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateNormalsAttr(_vectors(piece.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateExtentAttr(UsdGeom.Boundable.ComputeExtentFromPlugins(mesh, Usd.TimeCode.Default()))
    colour = mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
    colour.Set(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(np.clip(piece.colours, 0, 1), np.float32)))
    return mesh


def _shapes(stage: Usd.Stage, mesh: UsdGeom.Mesh, piece: Piece, binding: UsdSkel.BindingAPI) -> None:
    names, targets = [], []
    for name, delta, turn in zip(ARKIT_NAMES, piece.deltas, piece.turns, strict=True):
        rows = np.flatnonzero((delta**2).sum(axis=1) > STILL**2)
        if not len(rows):
            continue
        shape = UsdSkel.BlendShape.Define(stage, mesh.GetPath().AppendChild(name))
        shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(rows.astype(np.int32)))
        shape.CreateOffsetsAttr(_vectors(delta[rows]))
        shape.CreateNormalOffsetsAttr(_vectors(turn[rows]))
        names.append(name)
        targets.append(shape.GetPath())
    binding.CreateBlendShapesAttr(Vt.TokenArray(names))
    binding.CreateBlendShapeTargetsRel().SetTargets(targets)


def _material(stage: Usd.Stage, name: str) -> UsdShade.Material:
    """A surface in the vertices' colours, which ``displayColor`` holds (linear RGB)."""
    material = UsdShade.Material.Define(stage, f"/Head/Materials/{name}")
    reader = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("Colour"))
    reader.CreateIdAttr("UsdPrimvarReader_float3")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("displayColor")
    reader.CreateInput("fallback", Sdf.ValueTypeNames.Float3).Set(Gf.Vec3f(0.5, 0.4, 0.35))
    result = reader.CreateOutput("result", Sdf.ValueTypeNames.Float3)
    surface = UsdShade.Shader.Define(stage, material.GetPath().AppendChild("Surface"))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).ConnectToSource(result)
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(_ROUGHNESS[name])
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    output = surface.CreateOutput("surface", Sdf.ValueTypeNames.Token)
    material.CreateSurfaceOutput().ConnectToSource(output)
    return material


def _animate(
    stage: Usd.Stage,
    skeleton: UsdSkel.Skeleton,
    performance: Performance,
    places: np.ndarray,
    progress: Callable[[int, int], None] | None,
) -> None:
    animation = UsdSkel.Animation.Define(stage, "/Head/Animation")
    UsdSkel.BindingAPI(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    animation.CreateJointsAttr(JOINTS)
    animation.CreateBlendShapesAttr(Vt.TokenArray(list(performance.names)))
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * len(JOINTS)))
    turns = np.zeros((len(performance.weights), len(JOINTS), 4))
    turns[..., 3] = 1.0
    turns[:, 1] = performance.head_rotation
    turns[:, 2:] = np.stack([eye_turns(performance.weights, side) for side in ("left", "right")], axis=1)
    local = np.array([places[0], places[1], places[2] - places[1], places[3] - places[1]])
    moved = np.asarray(performance.head_translation, np.float64)[:, _TO_USD]
    translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    weights = animation.CreateBlendShapeWeightsAttr()
    total = len(turns)
    for k in range(total):
        frame = local.copy()
        frame[1] += moved[k]
        translations.Set(Vt.Vec3fArray.FromNumpy(frame.astype(np.float32)), k)
        rotations.Set([Gf.Quatf(w, y, z, x) for x, y, z, w in turns[k].tolist()], k)  # axes as in _TO_USD
        weights.Set(Vt.FloatArray.FromNumpy(np.ascontiguousarray(performance.weights[k], np.float32)), k)
        if progress and ((k + 1) % 30 == 0 or k + 1 == total):
            progress(k + 1, total)


def eye_turns(weights: np.ndarray, side: str) -> np.ndarray:
    """Quaternions xyzw (T, 4) of an eye, REP-103: yaw about up after pitch about left."""
    yaw, pitch = 0.5 * eye_angles(np.asarray(weights, np.float32), side).T.astype(np.float64)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.stack([-sy * sp, cy * sp, sy * cp, cy * cp], axis=1)


def _sound(stage: Usd.Stage, speech: Path, folder: Path) -> None:
    sound = UsdMedia.SpatialAudio.Define(stage, "/Head/Speech")
    place = os.path.relpath(speech.resolve(), folder.resolve())
    sound.CreateFilePathAttr(Sdf.AssetPath(Path(place).as_posix()))
    sound.CreateAuralModeAttr(UsdMedia.Tokens.nonSpatial)
    sound.CreatePlaybackModeAttr(UsdMedia.Tokens.onceFromStart)


def _vectors(values: np.ndarray) -> Vt.Vec3fArray:
    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values[:, _TO_USD], np.float32))
