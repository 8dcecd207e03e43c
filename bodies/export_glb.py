"""A performance as glTF: our head, or a GLB of one's own, with the animation inside (any viewer, Blender, engines).

The clip is named ``media2face``: the morph weights of every mesh, the head's turn and shift about its neck, and the
eyes' turns, a key a frame. See docs/gltf.md for the spellings of shapes that a file of one's own may use.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .gltf.animation import Wiring, add_animation, wire
from .gltf.container import Glb

if TYPE_CHECKING:
    from ..runtime.offline import Performance

HEAD = Path(__file__).parent / "web" / "static" / "head.glb"


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
    template: str | Path | None = None,
) -> Wiring:
    """Write ``path``; returns what of the file follows the performance.

    Args:
        neutral: (V, 3) metres, another face in the rig's topology (:mod:`media2face.runtime.identity`).
        template: a GLB or VRM whose shapes have ARKit names; everything else in it stays as it is.

    Raises:
        InputError: ``template`` is no such file, see :func:`read_template`.
    """
    if template is not None:
        glb = Glb.read(template)
    elif neutral is None and HEAD.is_file():
        glb = Glb.read(HEAD)
    else:
        from .gltf.head import build, shipped_skin

        if decoder is None:
            from ..runtime.decoder import FaceDecoder

            decoder = FaceDecoder()
        glb = build(decoder, neutral, shipped_skin(HEAD))
    wiring = wire(glb)
    add_animation(glb, wiring, performance, progress)
    Path(path).write_bytes(glb.to_bytes())
    return wiring


def read_template(path: str | Path) -> Wiring:
    """What of a GLB of one's own would follow a performance; :meth:`Wiring.lines` is the report.

    Raises:
        InputError: not a whole GLB of at most 256 MB, no morph targets, none with an ARKit name, data in other files,
            or sizes that contradict each other.
    """
    return wire(Glb.read(path))
