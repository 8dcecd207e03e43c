"""Build ``face_identities.npz``: other faces for the drawn head, from the ICT model's identity modes (MIT, USC-ICT).

    python -m media2face.data.face_identities --data ../shared/data --out models/weights

The leading modes are rounded to a fixed step and stored as differences between neighbouring vertices, which compress
well since modes are smooth. The eyeballs of the drawn head are our own spheres, so a mode moves and scales each as it
does ICT's. The keys are those of ``runtime/identity.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..runtime.identity import EYE_RADIUS, FaceIdentities, eye_sphere, layout
from ..runtime.rig_asset import RigAsset
from .rig import PARTS, ICTRig, to_ros

MODES, STEP = 64, 3e-5
"""How many modes are kept, and the step they are rounded to, in metres per unit of the coefficient."""


def eyes(rig: ICTRig, identity: np.ndarray) -> np.ndarray:
    """Centre in metres, REP-103, and radius over the mean's of both eyeballs: (2, 4)."""
    rows = []
    for side in ("left", "right"):
        centre, radius = eye_sphere(to_ros(rig.rest(identity, np.arange(*PARTS[f"eye_{side}"]))))
        rows.append([*centre, radius / EYE_RADIUS])
    return np.array(rows)


def build(rig: ICTRig, asset: RigAsset, modes: int = MODES, step: float = STEP) -> dict[str, np.ndarray]:
    """All arrays of the file."""
    known = asset.source >= 0
    shape = to_ros(rig.identity[:modes, asset.source[known]].astype(np.float32))
    steps = np.diff(np.round(shape / step).astype(np.int32), axis=1, prepend=0)
    unit = np.eye(len(rig.identity), dtype=np.float32)[:modes]
    balls = np.stack([(eyes(rig, row) - eyes(rig, -row)) / 2 for row in unit])
    return {
        "rig": np.array(layout(asset)), "step": np.float32(step),
        "steps": steps.transpose(0, 2, 1).astype(np.int16), "eyes": balls.astype(np.float32),
    }  # fmt: skip


def errors_mm(rig: ICTRig, asset: RigAsset, faces: FaceIdentities, people: int = 50) -> dict[str, float]:
    """What rounding costs, what the modes left out would add, and how far the eyes are off, over random identities."""
    known = asset.source >= 0
    rounding, missing, balls = [], [], []
    for seed in range(people):
        whole = np.random.default_rng(seed).standard_normal(len(rig.identity)).astype(np.float32)
        kept = np.where(np.arange(len(whole)) < faces.modes, whole, 0).astype(np.float32)
        ours = faces.neutral(whole[: faces.modes])[known]
        exact = to_ros(rig.rest(kept, asset.source[known]))
        rounding.append(np.linalg.norm(ours - exact, axis=1))
        missing.append(np.linalg.norm(to_ros(rig.rest(whole, asset.source[known])) - exact, axis=1))
        linear = eyes(rig, None) + np.einsum("k,ksd->sd", kept[: faces.modes], faces.eyes)
        balls.append(np.linalg.norm((linear - eyes(rig, kept))[:, :3], axis=1))
    return {
        "rounding mean": 1e3 * float(np.mean(rounding)), "rounding worst": 1e3 * float(np.max(rounding)),
        "modes left out, mean": 1e3 * float(np.mean(missing)), "eye centre mean": 1e3 * float(np.mean(balls)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the ICT model")
    parser.add_argument("--out", type=Path, default=Path("models/weights"), help="folder of face_rig.npz")
    args = parser.parse_args()
    rig, asset = ICTRig.load(args.data), RigAsset.load(args.out)
    path = args.out / "face_identities.npz"
    np.savez_compressed(path, **build(rig, asset))
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    for name, value in errors_mm(rig, asset, FaceIdentities.load(asset, args.out)).items():
        print(f"{name}: {value:.3f} mm")


if __name__ == "__main__":
    main()
