"""media2face sheet and media2face evaluate: settings of the lips' score; mistakes end in one clear line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from failing import fails

from media2face.cli.main import command_parser, main


@pytest.fixture
def speech(tmp_path):
    path = tmp_path / "speech.wav"
    soundfile.write(path, np.zeros(8_000, np.float32), 16_000)
    return path


def test_sheet_refuses_what_it_cannot_draw(capsys, speech, tmp_path):
    style = ("--style", "happy")
    assert ".png or .mp4" in fails(capsys, "sheet", speech, *style, "-o", tmp_path / "x.gif")
    assert "folder that is there" in fails(capsys, "sheet", speech, *style, "-o", tmp_path / "none" / "x.png")
    assert "--size" in fails(capsys, "sheet", speech, *style, "-o", tmp_path / "x.png", "--size", "4")
    assert "missing.wav" in fails(capsys, "sheet", tmp_path / "missing.wav", *style, "-o", tmp_path / "x.png")
    assert not list(tmp_path.glob("*.png"))


def test_evaluate_is_about_motion_unless_told_otherwise(capsys, tmp_path):
    options = command_parser("evaluate").parse_args([])
    assert options.what == "motion" and options.split == "test"
    assert "expected a folder" in fails(capsys, "evaluate", "motion", "--data", tmp_path / "none")
    assert "expected a folder" in fails(capsys, "evaluate", "--data", tmp_path, "--clips", tmp_path / "none")


@pytest.mark.parametrize("setting", ["live", "whole", "quality"])
def test_lips_are_scored_in_every_setting(capsys, tmp_path, shared_data, setting):
    options = ("--data", str(shared_data), "--limit", "2", "--setting", setting, "--json", str(tmp_path / "lips.json"))
    assert main(["evaluate", "lips", *options]) == 0
    assert "| media2face |" in capsys.readouterr().out
    found = json.loads((tmp_path / "lips.json").read_text())
    assert found["media2face"]["place_auc"] > 0.6 and found["media2face"]["vowel_gap_mm"] > 2
