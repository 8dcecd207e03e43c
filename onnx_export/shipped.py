"""Parts of the shipped ONNX files as arrays and torch modules, for trainings that build on frozen models.

Reading the files that ship, and not the runs they came from, makes a training see exactly what the engine will run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from media2face.models.gnpfa.config import GNPFAConfig
from media2face.models.gnpfa.networks import GeometryGenerator, Mapping
from media2face.models.media2face.config import DenoiserConfig
from media2face.models.media2face.network import Denoiser
from media2face.models.speech_encoder.network import SpeechEncoder
from media2face.onnx_export.metadata import record_of
from media2face.runtime.sessions import weights_folder

_NORM = ("weight", "bias")


def _read(name: str, folder: Path | None) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    model = onnx.load(str(weights_folder(folder) / f"{name}.onnx"))
    constants = model.graph.initializer
    return model, {t.name.removesuffix("_fp16"): numpy_helper.to_array(t).astype(np.float32) for t in constants}


def shipped_mapping(name: str = "gnpfa_to_weights", folder: Path | None = None) -> Mapping:
    """M or M' as a frozen torch module, read from the shipped ONNX file (so the loss sees what the engine runs)."""
    _, arrays = _read(name, folder)

    def stored(key: str) -> np.ndarray | None:
        return next((a for n, a in arrays.items() if n == key or n.endswith("." + key)), None)

    outputs, inputs = stored("affine.weight").shape
    mapping = Mapping(inputs, outputs, stored("residual.0.weight").shape[0])
    state = mapping.state_dict()
    for key in state:
        array = stored(key)  # a bias that stayed zero is left out of the graph
        state[key] = torch.zeros_like(state[key]) if array is None else torch.from_numpy(array.copy())
    mapping.load_state_dict(state)
    return mapping.requires_grad_(False).eval()


def shipped_generator(folder: Path | None = None, cfg: GNPFAConfig | None = None) -> GeometryGenerator:
    """G_geo as a frozen torch module, read from the shipped ONNX file; ``cfg`` is the edge configuration unless given.

    Raises:
        ValueError: if the file holds another configuration's network.
    """
    generator = GeometryGenerator(cfg or GNPFAConfig.edge())
    fill(generator, _read("gnpfa_decoder", folder)[1])
    return generator.requires_grad_(False).eval()


def fill(module: nn.Module, arrays: dict[str, np.ndarray], prefix: str = "") -> None:
    """Set every parameter of ``module`` to the array of its name, a bias without one to zero; buffers stay.

    Raises:
        ValueError: if a matrix or kernel is missing or has another shape.
    """
    with torch.no_grad():
        for name, own in module.named_parameters():
            array = arrays.get(prefix + name)
            if array is None and own.dim() == 1:
                array = np.zeros(tuple(own.shape), np.float32)
            if array is None or array.shape != tuple(own.shape):
                got = "none" if array is None else str(array.shape)
                raise ValueError(f"expected {prefix + name} of shape {tuple(own.shape)} in the file, got {got}")
            own.copy_(torch.from_numpy(array))


@torch.no_grad()
def shipped_picture_network(name: str, module: nn.Module, pictures: Tensor, folder: Path | None = None) -> None:
    """Make ``module`` the vision network that ships as ``name``, ready to be trained on.

    Batch norms are folded into the convolutions of the file. They are put back, layer after layer, with the mean and
    variance that ``pictures`` give there as running statistics and the scale and shift that undo them, so that the
    network computes what the file does.

    Args:
        name: ``vision_expression``, ``vision_pose`` or ``vision_locator``.
        module: the torch network of that architecture; changed in place.
        pictures: (B, 3, H, W) in [0, 1], like those it is to be trained on; a few hundred.
        folder: of the ONNX files; None is the shipped one.

    Raises:
        ValueError: if the file holds another architecture.
    """
    _, arrays = _read(name, folder)
    for key in [k for k in arrays if k.endswith("_int8")]:
        arrays[key.removesuffix("_int8")] = arrays[key] * arrays[key.removesuffix("_int8") + "_scale"]
    norms = {n: m for n, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)}
    skipped = {f"{n}.{part}": np.zeros(m.num_features, np.float32) for n, m in norms.items() for part in _NORM}
    fill(module, {k.removeprefix("network."): v for k, v in arrays.items()} | skipped)
    biases = _folded_biases(arrays, norms)

    def unfold(norm: nn.BatchNorm2d, inputs: tuple[Tensor], shift: np.ndarray) -> None:
        x = inputs[0]
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean + torch.from_numpy(shift))

    was, hooks = module.training, []
    for key, norm in norms.items():
        hooks.append(norm.register_forward_pre_hook(lambda m, x, shift=biases[key]: unfold(m, x, shift)))
    module.eval()(pictures)
    for hook in hooks:
        hook.remove()
    module.train(was)


def phone_head(folder: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The shipped encoder's linear phone head: weight (phones, A) and bias (phones,)."""
    model, arrays = _read("speech_context", folder)
    return _linear_weights(model.graph, arrays)["phone_head.weight"].copy(), arrays["phone_head.bias"]


def _folded_biases(arrays: dict[str, np.ndarray], norms: dict[str, nn.BatchNorm2d]) -> dict[str, np.ndarray]:
    """What folding added to the convolution before each batch norm."""
    out = {}
    for key in norms:
        stem, _, number = key.rpartition(".")
        before = f"network.{stem}.{int(number) - 1}.weight_bias"
        if before not in arrays:
            raise ValueError(f"expected the folded bias {before} in the file, got none: another exporter made it")
        out[key] = arrays[before]
    return out


def _linear_weights(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of linear layers by their torch names: each is the constant that the product before a bias reads,
    transposed. ``arrays`` are the graph's constants; biases keep their torch names in it."""
    products = {n.output[0]: n for n in graph.node if n.op_type == "MatMul"}
    out = {}
    for node in (n for n in graph.node if n.op_type == "Add"):
        bias = next((i for i in node.input if i.endswith(".bias")), None)
        product = next((products[i] for i in node.input if i in products), None)
        if bias and product:
            out[bias.removesuffix("bias") + "weight"] = next(arrays[i] for i in product.input if i in arrays).T
    return out


def shipped_speech_encoder(model: SpeechEncoder, folder: Path | None = None) -> None:
    """Make ``model`` the speech encoder that ships, ready to be trained on; a head that the files lack stays as it is.

    Raises:
        ValueError: if the files hold another architecture.
    """
    arrays = {}
    for name in ("speech_frontend", "speech_context"):
        graph, constants = _read(name, folder)
        arrays |= constants | _linear_weights(graph.graph, constants)
    arrays = {k.removeprefix("wav2vec2."): a for k, a in arrays.items()}
    conv = model.wav2vec2.encoder.pos_conv_embed.conv
    with torch.no_grad():
        conv.weight = torch.from_numpy(arrays["encoder.pos_conv_embed.conv.weight"])
    kept = {f"encoder.pos_conv_embed.conv.{n}": p.numpy(force=True) for n, p in conv.named_parameters()}
    fill(model.wav2vec2, kept | arrays)
    fill(model.phone_head, arrays, "phone_head.")


def shipped_denoiser(name: str = "denoiser", folder: Path | None = None) -> tuple[Denoiser, dict]:
    """The denoiser (or student) of an ONNX file as a torch network, and the file's record (mean, std, rest, ...).

    Biases, norms and free parameters keep their torch names in the graph.
    """
    model, arrays = _read(name, folder)
    record = record_of(model)
    arrays = {k: a for k, a in arrays.items() if not k.startswith("val_")} | _linear_weights(model.graph, arrays)
    state = {k: torch.from_numpy(a.copy()) for k, a in arrays.items()}
    width, phones = state["state_in.bias"].shape[0], state.get("audio_in.phone_head.bias", torch.zeros(0)).shape[0]
    config = DenoiserConfig(
        latent_dim=record["latent_dim"], audio_dim=record["audio_dim"], style_dim=record["style_dim"], phones=phones,
        prosody_dim=state["audio_in.prosody.bias"].shape[0] if phones else 1,
        style_tokens=state["null_style"].shape[0], width=width, train_steps=record["train_steps"],
        layers=sum(k.endswith("self_attention.query.bias") for k in state),
        feed_forward=state["blocks.0.feed_forward.0.bias"].shape[0],
        hold="hold_in.bias" in state, max_frames=state["cos"].shape[0],
        window=record.get("window", min(96, state["cos"].shape[0])),
    )  # fmt: skip
    network = Denoiser(config)
    wanted = network.state_dict()
    network.load_state_dict({k: state[k] for k in wanted})
    return network.eval(), record
