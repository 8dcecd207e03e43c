"""The same weights in other numbers: float16 for a GPU, 8-bit integers for a CPU; one weights folder each.

    python -m media2face.onnx_export.variants --out FOLDER [--weights FOLDER] [--precision fp16 int8]
    media2face animate speech.wav --weights FOLDER --precision int8 -o face.mp4

FOLDER becomes a copy of the weights, FOLDER/fp16 and FOLDER/int8 whole weights folders beside it. A variant keeps the
fingerprint of what it was made from, since it is the same model in other numbers; its record says ``precision``. How
far each is from float32, and how fast: ``python -m media2face.evaluation.onnx_table``.

* fp16: weights and arithmetic in half precision; inputs, outputs and what overflows (softmax, norms, powers) in single.
* int8: products with constant matrices by dynamic quantisation, weights per output channel, activations per tensor;
  everything else, convolutions included, in single precision. Of a denoiser only the products inside its blocks: with
  those at its ends (noise, phones and time in, states out) its error was 3.5 times as large. G_geo and E_geo stay as
  they are: the one gained no time, the other lost a tenth of a deviation.

The speech front end stays in single precision in both: a filterbank in fewer bits hides what is soft behind what is
loud. So do M and M', which are small and feed everything.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from media2face.onnx_export.metadata import KEY, complete_folder, record_of
from media2face.runtime.sessions import weights_folder

log = logging.getLogger(__name__)

_MOVING = ("denoiser", "student")
_READING = ("speech_context", "speech_hub", "style_text", "style_image")
VARIED = {"fp16": (*_MOVING, *_READING, "gnpfa_decoder", "gnpfa_encoder"), "int8": (*_MOVING, *_READING)}
"""Beginnings of the names of the models that get a variant."""
SINGLE = [*DEFAULT_OP_BLOCK_LIST, "Softmax", "LayerNormalization", "InstanceNormalization", "ReduceMean", "ReduceSum",
          "Pow", "Sqrt", "Sin", "Cos", "Log", "Exp", "Transpose"]  # fmt: skip
"""Operators that stay in single precision in fp16. (Transpose: ONNX Runtime 1.32 dies of some in half precision when it
lays out a graph for the CPU, which is the fallback of a GPU.)"""


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Undo :func:`.metadata.store_fp16`: weights stored as float16 with a Cast become float32 constants again."""
    constants = {t.name: t for t in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        tensor = constants.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is None or tensor.data_type != TensorProto.FLOAT16:
            nodes.append(node)
            continue
        wide = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), node.output[0])
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(wide)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Half precision inside, float32 inputs and outputs; the record comes along."""
    made = OnnxModel(convert_float_to_float16(widen(model), keep_io_types=True, op_block_list=SINGLE))
    made.topological_sort()  # the conversion puts its casts last
    return _marked(made.model, model, "fp16")


def block_products(model: onnx.ModelProto) -> list[str]:
    """Names of the products inside the blocks of a denoiser, told by the biases behind them; [] for other models."""
    products = {n.output[0]: n.name for n in model.graph.node if n.op_type == "MatMul"}
    found = []
    for node in (n for n in model.graph.node if n.op_type == "Add"):
        if any(i.startswith("blocks.") and i.endswith(".bias") for i in node.input):
            found += [products[i] for i in node.input if i in products]
    return found


def to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Products with constant matrices in 8-bit integers, a scale for each output channel; the record comes along."""
    model = widen(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model, path, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8,
            nodes_to_quantize=block_products(model),
        )  # fmt: skip
        made = onnx.load(str(path))
    return _marked(made, model, "int8")


MAKERS = {"fp16": to_fp16, "int8": to_int8}


def loads(path: Path) -> bool:
    """Whether ONNX Runtime makes a session of a file on the CPU, tried in a process of its own: it may die of one."""
    code = "import sys, onnxruntime as o; o.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False).returncode == 0


def _marked(made: onnx.ModelProto, source: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    del made.metadata_props[:]
    entry = made.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(record_of(source) | {"precision": precision})
    return made


def export(out: Path, source: str | Path | None = None, precisions: tuple[str, ...] = tuple(MAKERS)) -> list[Path]:
    """Make ``out`` a copy of the weights and a sub-folder of it for each precision.

    Args:
        out: folder to make; files that are there already are made again.
        source: the weights, see :func:`media2face.runtime.sessions.weights_folder`.
        precisions: of :data:`MAKERS`.

    Returns:
        The variants written; one that ONNX Runtime cannot load is left out, and its fp32 file stands for it.

    Raises:
        ValueError: if ``out`` is the folder of the weights itself, which may be read-only or under version control.
    """
    source = weights_folder(source)
    if out.resolve() == source.resolve():
        raise ValueError(f"{out} is the weights folder itself: choose another one for the variants")
    made = []
    for precision in precisions:
        names = sorted(p.name for p in source.glob("*.onnx") if p.stem.startswith(VARIED[precision]))
        folder = out / precision
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            model = MAKERS[precision](onnx.load(str(source / name)))
            partial = folder / f"{name}.part"
            onnx.save(model, str(partial))
            if loads(partial):
                made.append(partial.replace(folder / name))
            else:
                partial.unlink()
                log.warning("ONNX Runtime cannot load %s in %s: it stays in float32", name, precision)
        complete_folder(folder, source)
    complete_folder(out, source)
    return made


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--weights", type=Path, help="folder of the weights (default: the shipped ones)")
    parser.add_argument("--precision", nargs="+", choices=tuple(MAKERS), default=tuple(MAKERS))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")  # the quantiser reports every tensor
    log.setLevel(logging.INFO)
    try:
        made = export(options.out, options.weights, tuple(options.precision))
    except ValueError as error:
        parser.exit(2, f"variants: error: {error}\n")
    for path in made:
        log.info("%s (%.1f MB)", path, path.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
