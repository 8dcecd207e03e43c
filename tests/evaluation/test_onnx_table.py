"""The table of variants measures what it says: differences of recorded passes, and times that take turns."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the [train] extra")

from media2face.evaluation import onnx_table  # noqa: E402
from media2face.onnx_export import variants  # noqa: E402
from media2face.runtime.sessions import Model, load_model, weights_folder  # noqa: E402

pytestmark = pytest.mark.skipif(not (weights_folder() / "style_text.onnx").is_file(), reason="no weights")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    shutil.copyfile(weights_folder() / "style_text.onnx", source / "style_text.onnx")
    variants.export(out, source, ("int8",))
    return out


def passes(count: int = 3) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"tokens": rng.integers(300, 9000, (1, 32))} for _ in range(count)]


def test_passes_are_recorded_and_the_recorder_goes_away(folder):
    run, model = Model.run, load_model("style_text", folder, "cpu")
    with onnx_table.recorded() as found:
        feeds = passes(2)
        made = [model.run(f) for f in feeds]
        feeds[0]["tokens"][:] = 0  # a copy is kept
    assert Model.run is run and [f["tokens"].max() > 0 for f in found["style_text"]] == [True, True]
    with pytest.raises(ZeroDivisionError), onnx_table.recorded():
        1 / 0  # noqa: B018
    assert Model.run is run and np.isfinite(made[0]["embedding"]).all()


def test_rows_tell_the_difference_and_the_time(folder):
    rows = onnx_table.network_rows(folder, ["fp32", "int8"], {"style_text": passes()}, "cpu")["style_text"]
    assert rows["fp32"]["largest"] == 0.0 and rows["fp32"]["time_ratio"] == 1.0
    exact, variant = load_model("style_text", folder, "cpu"), load_model("style_text", folder / "int8", "cpu")
    gaps = [np.abs(exact.run(f)["embedding"] - variant.run(f)["embedding"]) for f in passes()]
    assert rows["int8"]["largest"] == pytest.approx(np.max(gaps), rel=1e-6)
    assert rows["int8"]["mean"] == pytest.approx(np.mean(gaps), rel=1e-6) and rows["int8"]["mean"] > 0
    assert rows["int8"]["time_ratio"] == pytest.approx(rows["int8"]["ms"] / rows["fp32"]["ms"])


def test_a_folder_without_variants_is_refused(capsys):
    with pytest.raises(SystemExit):
        onnx_table.main(["--weights", str(weights_folder())])
    assert "onnx_export.variants" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_from_speech_to_table(shared_data, tmp_path, capsys):
    variants.export(tmp_path / "v", None, ("int8",))
    onnx_table.main(["--weights", str(tmp_path / "v"), "--data", str(shared_data), "--clips", "2", "--json",
                     str(tmp_path / "t.json")])  # fmt: skip
    report = json.loads((tmp_path / "t.json").read_text())
    assert {"student", "speech_context", "style_text", "style_image"} <= set(report["networks"])
    assert report["lips"]["fp32"]["lips_mean_mm"] == 0 < report["lips"]["int8"]["lips_mean_mm"] < 5
    assert "| student | int8 |" in capsys.readouterr().out
