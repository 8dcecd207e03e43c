"""Running needs no torch: the engine, the commands, the bodies and the nodes start where none is installed."""

import subprocess
import sys

import pytest

BLOCK = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "open_clip", "torchvision", "scipy", "onnx", "mediapipe"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""

PROGRAMS = {
    "engine": "import numpy as np; from media2face.runtime.offline import animate;"
    "print(animate(np.zeros(16000, np.float32), style='happy').weights.shape)",
    "bodies": "import media2face.bodies as b; print(b.check_output)",
    "nodes": "from media2face.nodes.graph import GRAPH; print([spec.load() for spec in GRAPH])",
    "avatar": "from media2face.cli.main import command_parser; command_parser('avatar'); command_parser('animate')",
    "bench": "from media2face.evaluation import live_bench, machine, offline_bench",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs_without_torch(name):
    if name in ("nodes", "bench"):
        pytest.importorskip("rclpy")
    done = subprocess.run([sys.executable, "-c", BLOCK + PROGRAMS[name]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
