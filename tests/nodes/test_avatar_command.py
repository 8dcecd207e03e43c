"""``media2face avatar`` from the outside: a program that speaks, shows what it does, and ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from harness import ROOT

CALM = ["--device", "none", "--provider", "cpu", "--presentation-delay", "2.0"]


def command(*arguments: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen(
        [sys.executable, "-m", "media2face.cli.main", "avatar", *CALM, *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_it_speaks_and_ends_with_the_speech(weights, speech, domain):
    began = time.monotonic()
    process = command("--audio", str(speech), "--style", "a cheerful host", "--namespace", "stage/anna")
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert time.monotonic() - began > 5.0
    assert "ros2 topic echo /stage/anna/expression" in output
    assert re.search(r"frames/s  latency p50 \S+ p95 \S+ ms  style \w+  underruns \d+", output)
    frames = int(re.search(r"^(\d+) frames; latency", output, re.MULTILINE)[1])
    assert frames >= 85, output
    assert "Traceback" not in output


def test_it_repeats_until_it_is_told_to_stop(weights, speech, domain):
    process = command("--audio", str(speech), "--loop")
    time.sleep(9.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_in_the_middle_of_speech(weights, domain, number):
    process = command("--audio", "demo")
    time.sleep(6.0)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "Traceback" not in output and "frames; latency" in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--audio", "/nowhere/speech.wav"], "no such audio file"),
        (["--audio", "{text}"], "not audio"),
        (["--namespace", "2 many"], "namespace"),
        (["--style", "x" * 10_000], "characters"),
        (["--weights", "/nowhere"], "found no file"),
        (["--audio", "mic"], "no microphone"),
    ],
    ids=["missing", "not audio", "namespace", "style", "weights", "no microphone"],
)
def test_mistakes_end_in_one_clear_line(weights, domain, tmp_path, arguments, reason):
    (tmp_path / "text.wav").write_text("this is not audio")
    if "mic" in arguments and _has_microphone():
        pytest.skip("this machine has a microphone")
    process = command(*(a.format(text=tmp_path / "text.wav") for a in arguments))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    line = output.strip().splitlines()[-1]
    assert line.startswith("media2face: error: ") and reason in line
    assert "Traceback" not in output


def _has_microphone() -> bool:
    try:
        import sounddevice

        return any(d["max_input_channels"] for d in sounddevice.query_devices())
    except (ImportError, OSError):
        return False


def test_running_needs_no_torch(weights):
    program = (
        "import sys\n"
        "from media2face.nodes.graph import GRAPH\n"
        "[spec.load() for spec in GRAPH]\n"
        "import media2face.nodes.runner, media2face.cli.avatar, media2face.cli.main\n"
        "from media2face.runtime.engine import EngineModels\n"
        "EngineModels.load(providers='cpu')\n"
        "heavy = {'torch', 'transformers', 'open_clip', 'onnx', 'mediapipe'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_status_line_follows(weights, speech, domain):
    process = command("--audio", str(speech))
    guard = threading.Timer(60.0, process.kill)
    guard.start()
    spoke = any(line.startswith("speaking") for line in process.stdout)
    guard.cancel()
    assert spoke, "no status line said that it speaks"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
