"""What wears the face: files, pictures and bridges.

Files are written by one module per suffix, named in :data:`EXPORTERS` and imported only when used. Each has
``write(performance, path, *, decoder=None, progress=None, neutral=None)``. ``decoder`` is a loaded
:class:`~media2face.runtime.decoder.FaceDecoder` for those that need geometry (made when missing); ``progress`` is
called with (frames done, frames in all); ``neutral`` is the rest mesh (V, 3) of another face in metres and the rig's
topology (:mod:`media2face.runtime.identity`), None for the mean face; formats without a mesh take no notice of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..runtime.errors import ConfigError, InputError

EXPORTERS = {
    ".npz": "export_npz",
    ".mesh.npz": "export_mesh",
    ".csv": "export_csv",
    ".livelink.csv": "export_livelink",
    ".mp4": "export_mp4",
    ".bvh": "export_bvh",
    ".usd": "export_usd",
    ".usda": "export_usd",
    ".usdc": "export_usd",
    ".glb": "export_glb",
    ".mcap": "export_mcap",
}
"""Suffix -> module; where two fit a name, the longer one counts."""
NEEDS = {".usd": ("pxr", "usd"), ".usda": ("pxr", "usd"), ".usdc": ("pxr", "usd"), ".mcap": ("mcap", "")}
"""Suffix -> a package that writing it takes, and the extra of this package that installs it."""


def format_of(path: str | Path) -> str:
    """The key of :data:`EXPORTERS` that a file name ends in; '' for none. A name is more than its suffix."""
    name = Path(path).name.lower()
    fits = [suffix for suffix in EXPORTERS if name.endswith(suffix) and len(name) > len(suffix)]
    return max(fits, key=len, default="")


def check_output(path: str | Path) -> Path:
    """The path, if a performance can be written there.

    Raises:
        ConfigError: unknown suffix, a package that the format needs is missing, or the folder is missing or not
            writable.
    """
    path = Path(path)
    suffix = format_of(path)
    if not suffix:
        raise ConfigError(f"cannot write {path.name!r}: expected a file name that ends in {', '.join(EXPORTERS)}")
    package, extra = NEEDS.get(suffix, ("", ""))
    if package and find_spec(package) is None:
        wanted = f"media2face[{extra}]" if extra else package
        raise ConfigError(f"cannot write {path.name!r}: {suffix} needs {package}: pip install '{wanted}'")
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"cannot write {path}: the folder {path.parent} is not writable")
    return path


def check_performance(performance) -> None:
    """Refuse a performance that no program could play.

    Raises:
        InputError: no frames, arrays of different lengths, NaN or infinity (with the first such frame).
    """
    frames = len(performance.weights)
    if not frames:
        raise InputError("the performance has no frames: nothing to write")
    shapes = {
        "weights": (frames, len(performance.names)),
        "head_rotation": (frames, 4),
        "head_translation": (frames, 3),
        "latents": (frames, *np.shape(performance.latents)[1:]),
    }
    for name, shape in shapes.items():
        values = np.asarray(getattr(performance, name))
        if values.shape != shape:
            raise InputError(f"expected {name} of shape {shape} for {frames} frames, got {values.shape}")
        bad = ~np.isfinite(values).reshape(frames, -1).all(axis=1)
        if bad.any():
            raise InputError(f"{name} hold NaN or infinity (first at frame {int(bad.argmax())}): nothing was written")


def export(
    performance,
    path: str | Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
    template: str | Path | None = None,
) -> Path:
    """Write a :class:`~media2face.runtime.offline.Performance`; the suffix chooses the format.

    The file appears whole or not at all: it is written beside its final place and then renamed, so a failure leaves an
    earlier result as it was. ``template``: for ``.glb``, a file of one's own that gets the animation.

    Raises:
        ConfigError: see :func:`check_output`.
        InputError: see :func:`check_performance`, or ``neutral`` or ``template`` cannot be used.
    """
    path = check_output(path)
    check_performance(performance)
    suffix = format_of(path)
    module = import_module(f".{EXPORTERS[suffix]}", __name__)
    own = {"template": template} if template is not None else {}
    with beside(path, suffix) as part:
        module.write(performance, part, decoder=decoder, progress=progress, neutral=neutral, **own)
    return path


@contextmanager
def beside(path: Path, suffix: str) -> Iterator[Path]:
    """Where to write a file that ends in ``suffix``, so that it appears at ``path`` when the block ends well, and not
    at all when it does not.
    """
    part = path.with_name(f".{path.name[: -len(suffix)]}.{os.getpid()}.part{suffix.lower()}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
