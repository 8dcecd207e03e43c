"""The record that every exported file carries, and fp16 storage of its weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from media2face.runtime.sessions import FORMAT_VERSION, weights_folder

KEY = "media2face"
"""Under which a model's record stands in its metadata."""


def fingerprint(model: onnx.ModelProto) -> str:
    """Sixteen hexadecimal digits over all initializers, in the order of their names."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda t: t.name):
        digest.update(tensor.name.encode())
        digest.update(numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()[:16]


def store_fp16(model: onnx.ModelProto, min_size: int = 256) -> onnx.ModelProto:
    """Keep float32 weights of at least ``min_size`` values as float16, cast back at load; arithmetic stays float32.

    ONNX Runtime folds the casts when it builds the session, so speed is that of float32 at half the size on disk.

    Raises:
        ValueError: if a weight does not fit the range of float16.
    """
    casts, kept = [], []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or array.size < min_size:
            kept.append(tensor)
            continue
        half = array.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f"weight {tensor.name} exceeds the range of float16: largest {np.abs(array).max():g}")
        stored = tensor.name + "_fp16"
        kept.append(numpy_helper.from_array(half, stored))
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT, name=f"{stored}_cast"))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    return model


def write_model(
    model: onnx.ModelProto | str | Path, name: str, folder: str | Path, *, fp16: bool = True, **fields
) -> Path:
    """Write ``<folder>/<name>.onnx`` with its record, atomically.

    Args:
        model: the exported graph, or the path of one.
        name: the model name that the engine asks for.
        folder: usually ``models/weights``.
        fp16: store weights as float16, see :func:`store_fp16`.
        fields: anything JSON that the engine needs (dimensions, statistics, ``requires``).

    Returns:
        The path written. Its record holds ``model``, ``version``, ``fingerprint`` and ``fields``.
    """
    if not isinstance(model, onnx.ModelProto):
        model = onnx.load(str(model))
    if fp16:
        model = store_fp16(model)
    record = {"model": name, "version": FORMAT_VERSION, "fingerprint": fingerprint(model), **fields}
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(record)
    model.producer_name = "media2face"
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in model.graph.value_info:
        del value.metadata_props[:]
    onnx.checker.check_model(model)
    target = Path(folder) / f"{name}.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".onnx.part")
    onnx.save(model, str(partial))
    partial.replace(target)
    return target


def record_of(model: onnx.ModelProto) -> dict:
    """The record that :func:`write_model` put into a model."""
    return json.loads(next(p.value for p in model.metadata_props if p.key == KEY))


def complete_folder(folder: str | Path, source: str | Path | None = None) -> list[Path]:
    """Make ``folder`` a whole weights folder: copy what it lacks of ``source`` (default: the shipped weights).

    Args:
        folder: holds the files that are to differ.
        source: where the rest comes from, see :func:`media2face.runtime.sessions.weights_folder`.

    Returns:
        The files copied.
    """
    folder, copied = Path(folder), []
    for path in sorted(weights_folder(source).iterdir()):
        target = folder / path.name
        if path.is_file() and path.suffix != ".md" and not target.exists():
            shutil.copyfile(path, target)
            copied.append(target)
    return copied
