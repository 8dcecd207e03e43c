"""What wears the face: files, pictures and bridges.

Files are written by one module per suffix, named in :data:`EXPORTERS` and imported only when used. Each has
``write(performance, path, *, decoder=None, progress=None)``. ``decoder`` is a loaded
:class:`~media2face.runtime.decoder.FaceDecoder` for those that need geometry (made when missing); ``progress`` is
called with (frames done, frames in all).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..runtime.errors import ConfigError

EXPORTERS = {".npz": "export_npz", ".csv": "export_csv", ".mp4": "export_mp4"}


def check_output(path: str | Path) -> Path:
    """The path, if a performance can be written there.

    Raises:
        ConfigError: unknown suffix, or the folder is missing or not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in EXPORTERS:
        raise ConfigError(f"cannot write {path.name!r}: expected a file name that ends in {', '.join(EXPORTERS)}")
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"cannot write {path}: the folder {path.parent} is not writable")
    return path


def export(performance, path: str | Path, *, decoder=None, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write a :class:`~media2face.runtime.offline.Performance`; the suffix chooses the format.

    The file appears whole or not at all: it is written beside its final place and then renamed, so a failure leaves an
    earlier result as it was.

    Raises:
        ConfigError: see :func:`check_output`.
    """
    path = check_output(path)
    module = import_module(f".{EXPORTERS[path.suffix.lower()]}", __name__)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix.lower()}")
    try:
        module.write(performance, partial, decoder=decoder, progress=progress)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
