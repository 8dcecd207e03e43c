"""OpenUSD files: valid by usd-core's own validators, and skinned by its own code they give our decoder's mesh."""

import functools

import numpy as np
import pytest

pytest.importorskip("pxr", reason="usd-core is not installed")
from pxr import Gf, Usd, UsdGeom, UsdSkel  # noqa: E402

from media2face.bodies import check_output, export, export_usd  # noqa: E402
from media2face.bodies.gltf.shapes import Shapes, numbered  # noqa: E402
from media2face.bodies.paint import paint  # noqa: E402
from media2face.runtime.arkit import ARKIT_NAMES  # noqa: E402
from media2face.runtime.errors import ConfigError  # noqa: E402
from media2face.runtime.rotation import matrices_from_quaternions  # noqa: E402


@pytest.fixture(scope="module")
def decoder():
    from media2face.runtime.decoder import FaceDecoder
    from media2face.runtime.errors import ModelError

    try:
        decoder = FaceDecoder(providers="cpu")
        decoder.mesh(np.zeros((1, decoder.latent_dim), np.float32))
    except ModelError as error:
        pytest.skip(f"the weights are not shipped yet: {error}")
    return decoder


@pytest.fixture(scope="module", autouse=True)
def _asked_once():
    """The shapes of a decoder's mean face are asked for once: seconds for each file otherwise."""
    ask, known = Shapes.ask, {}

    @functools.wraps(ask)
    def remembered(decoder, neutral=None):
        if neutral is not None:
            return ask(decoder, neutral)
        if id(decoder) not in known:
            known[id(decoder)] = ask(decoder)
        return known[id(decoder)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shapes, "ask", remembered)
        yield


@pytest.fixture
def spoken(performance, decoder):
    """A performance whose latents are those of its weights, at a tenth of their size: faces that people make."""
    performance.weights *= 0.3
    performance.latents = decoder.latents(performance.weights)
    performance.weights = decoder.weights(performance.latents)
    return performance


def complaints(stage) -> list[str]:
    validation = pytest.importorskip("pxr.UsdValidation")
    registry = validation.ValidationRegistry()
    errors = validation.ValidationContext(registry.GetOrLoadAllValidators()).Validate(stage)
    return [f"{e.GetName()}: {e.GetMessage()}" for e in errors]


@pytest.mark.parametrize("suffix", [".usd", ".usda", ".usdc"])
def test_files_are_valid(performance, tmp_path, posed, suffix):
    seen = []
    path = export(performance, tmp_path / f"a{suffix}", decoder=posed, progress=lambda *p: seen.append(p))
    assert seen[-1] == (20, 20) and [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes()[:5] == (b"#usda" if suffix == ".usda" else b"PXR-U")
    stage = Usd.Stage.Open(str(path))
    assert complaints(stage) == []
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (30, 0, 19)
    assert stage.GetDefaultPrim().GetPath() == "/Head"


def test_the_validators_do_complain(performance, tmp_path, posed):
    """The test above can fail: a default prim that is gone and a binding without its schema are found."""
    stage = Usd.Stage.Open(str(export(performance, tmp_path / "a.usd", decoder=posed)))
    stage.ClearDefaultPrim()
    stage.GetPrimAtPath("/Head/Skin").RemoveAPI(UsdSkel.BindingAPI)
    assert len(complaints(stage)) >= 2


def test_weights_and_turns_are_the_performance(performance, tmp_path, posed):
    stage = Usd.Stage.Open(str(export(performance, tmp_path / "a.usd", decoder=posed)))
    animation = UsdSkel.Animation.Get(stage, "/Head/Animation")
    assert tuple(animation.GetBlendShapesAttr().Get()) == ARKIT_NAMES
    for k in (0, 7, 19):
        assert np.allclose(animation.GetBlendShapeWeightsAttr().Get(k), performance.weights[k], atol=1e-6)
        head = animation.GetRotationsAttr().Get(k)[1]
        x, y, z, w = performance.head_rotation[k]
        assert np.allclose([head.GetReal(), *head.GetImaginary()], [w, y, z, x], atol=1e-6)


@pytest.mark.parametrize("identity", [False, True])
def test_skinned_by_usd_it_is_the_decoders_mesh(spoken, tmp_path, decoder, identity):
    neutral = decoder.rig.neutral * np.float32([1.02, 1.08, 0.96]) if identity else None
    stage = Usd.Stage.Open(str(export(spoken, tmp_path / "a.usd", decoder=decoder, neutral=neutral)))
    assert UsdSkel.BakeSkinning(UsdSkel.Root.Get(stage, "/Head"), Gf.Interval(0, 19))
    coat, rig = paint(decoder.rig), decoder.rig
    for k in (4, 15):
        rest = decoder.mesh(spoken.latents[k : k + 1], neutral)[0] + coat.offset
        turn = matrices_from_quaternions(spoken.head_rotation[k : k + 1])[0]
        moved = (rest - rig.neck_pivot) @ turn.T + rig.neck_pivot + spoken.head_translation[k]
        moved += coat.stays[:, None] * (rest - moved)
        for name, parts in export_usd._PARTS.items():
            used, _ = numbered(rig.triangles, [rig.parts[part] for part in parts])
            points = np.array(UsdGeom.Mesh.Get(stage, f"/Head/{name}").GetPointsAttr().Get(k))
            away = np.linalg.norm(points - moved[used][:, [1, 2, 0]], axis=1)
            # the shapes add up; the decoder bends, multiplies and closes lips, most of all within the mouth
            most = {"Skin": 0.2e-3, "Mouth": 0.3e-3}.get(name, 0.05e-3)
            assert away.mean() < most, (name, k, away.mean())


def test_the_speech_is_referred_to(performance, tmp_path, posed):
    folder = tmp_path / "sound"
    folder.mkdir()
    (folder / "speech.wav").write_bytes(b"RIFF")
    performance.audio = folder / "speech.wav"
    stage = Usd.Stage.Open(str(export(performance, tmp_path / "a.usda", decoder=posed)))
    assert stage.GetPrimAtPath("/Head/Speech").GetAttribute("filePath").Get().path == "sound/speech.wav"
    performance.audio = np.zeros(16, np.float32)
    stage = Usd.Stage.Open(str(export(performance, tmp_path / "b.usda", decoder=posed)))
    assert not stage.GetPrimAtPath("/Head/Speech")


def test_without_usd_core_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("media2face.bodies.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'media2face\[usd\]'"):
        check_output(tmp_path / "a.usd")
