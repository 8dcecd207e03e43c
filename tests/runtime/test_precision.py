"""One word picks the numbers; what is not there is said, with how to make it."""

from __future__ import annotations

import pytest

from media2face.runtime.engine import EngineModels
from media2face.runtime.errors import ConfigError, ModelError
from media2face.runtime.precision import PRECISIONS, precise_folder
from media2face.runtime.sessions import weights_folder


def test_single_precision_is_the_weights_folder_itself(tmp_path):
    assert precise_folder() == weights_folder() and precise_folder(tmp_path, "fp32") == tmp_path


def test_another_precision_is_a_sub_folder(tmp_path):
    for precision in PRECISIONS[1:]:
        with pytest.raises(ModelError, match="onnx_export.variants"):
            precise_folder(tmp_path, precision)
        (tmp_path / precision).mkdir()
        with pytest.raises(ModelError, match="found none"):
            precise_folder(tmp_path, precision)
        (tmp_path / precision / "denoiser.onnx").touch()
        assert precise_folder(tmp_path, precision) == tmp_path / precision


def test_another_word_is_refused():
    with pytest.raises(ConfigError, match="'int4'"):
        EngineModels.load(precision="int4")
