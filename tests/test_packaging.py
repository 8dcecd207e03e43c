"""The four ways of installing: pip, pip -e, colcon build, colcon build --symlink-install; each imports every room.

Slow (two to four minutes): the messages are compiled twice, by scikit-build-core and by colcon. What this environment
already has (ROS 2, NumPy, ...) is lent to the new ones by a path file, so that little is downloaded.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"build", "install", "log", "__pycache__", ".git", ".venv", ".venv-dev", ".pytest_cache", ".ruff_cache",
            "node_modules"}  # fmt: skip
ROOMS = sorted(p.parent.name for p in ROOT.glob("*/__init__.py") if p.parent.name != "media2face")
NODES = ("audio_capture", "audio_playback", "face_decoder", "motion_sampler", "speech_encoder", "style_encoder")
PROBE = f"""
import importlib, json, pathlib, sys
import media2face
for room in {ROOMS!r}:
    try:
        module = importlib.import_module("media2face." + room)
    except ImportError as error:
        sys.exit(f"media2face.{{room}}: {{error}}")
from media2face.runtime.sessions import weights_folder
from media2face.runtime.demo import demo_speech
from media2face.nodes.graph import GRAPH
from media2face.bodies.web.assets import Assets
from media2face_msgs.msg import Expression
from media2face_msgs.action import Animate
import media2face_msgs
assert demo_speech().is_file()
assert {{"index.html", "page.js", "page.css", "head.glb", "head_lite.glb"}} <= set(Assets().names)
assert (weights_folder() / "clip_bpe.txt.gz").is_file(), weights_folder()
heavy = {{"torch", "transformers", "open_clip"}} & set(sys.modules)
assert not heavy, heavy
print(json.dumps([media2face.__version__, module.__file__, media2face_msgs.__file__]))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(importlib.util.find_spec("rclpy") is None, reason="ROS 2 is not installed"),
    pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="no C++ compiler"),
]


def clean_environment(**more: str) -> dict[str, str]:
    """Ours, without what ties a process to this Python and this checkout."""
    names = (
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "AMENT_PREFIX_PATH",
        "CMAKE_PREFIX_PATH",
    )
    kept = {
        k: v for k, v in os.environ.items() if k not in names and not k.startswith(("COLCON_", "ROS_", "MEDIA2FACE_"))
    }
    return kept | {"CMAKE_BUILD_PARALLEL_LEVEL": "2", "PYTHONDONTWRITEBYTECODE": "1"} | more


def run(command: list, cwd: Path, **environment: str) -> str:
    """Run, or fail with the end of what it said."""
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=clean_environment(**environment),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the repository without what git ignores, so that builds leave nothing here."""
    target = tmp_path_factory.mktemp("source") / "media2face"

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [n for n in names if n in LEFT_OUT or n.endswith((".egg-info", ".pyc"))]

    shutil.copytree(ROOT, target, ignore=left_out, symlinks=True)
    return target


def make_python(folder: Path) -> Path:
    """A new environment whose Python also sees the packages of this one, except media2face itself."""
    venv.create(folder, with_pip=True, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    lent = folder / "lent"
    lent.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        name = entry.name.lower()
        if "media2face" in name or name.startswith(("pip", "setuptools", "_distutils", "pkg_resources", "__pycache__")):
            continue
        if entry.suffix == ".pth" and "ros_wheels" not in name:
            continue
        (site / entry.name if name.endswith(".libs") or entry.suffix == ".pth" else lent / entry.name).symlink_to(entry)
    (site / "lent.pth").write_text(f"{lent}\n")
    for library in Path(sys.prefix, "lib").glob("*.so*"):
        if "media2face" not in library.name:
            (folder / "lib" / library.name).symlink_to(library)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def wheels(source, tmp_path_factory) -> Path:
    """The wheel of the messages, built as ``pip install ./msgs`` builds it, in isolation."""
    folder = tmp_path_factory.mktemp("wheels")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, "./msgs"], source)
    return folder


def probe(python: Path, cwd: Path, **environment: str) -> list[str]:
    """Import every room from a neutral folder; version, a room's file, the messages' file."""
    import json

    return json.loads(run([python, "-c", PROBE], cwd, **environment).strip().splitlines()[-1])


def test_pip_install(source, wheels, tmp_path):
    python = make_python(tmp_path / "env")
    (wheel,) = wheels.glob("media2face_msgs-*.whl")
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, source], tmp_path)
    _, room, messages = probe(python, tmp_path)
    assert str(tmp_path / "env") in room and str(tmp_path / "env") in messages
    for name in (*NODES, "media2face"):
        program = tmp_path / "env" / "lib" / "media2face" / name
        assert os.access(program, os.X_OK), f"ros2 run and launch look for {program}"
    share = tmp_path / "env" / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "media2face").is_file()
    assert (share / "media2face" / "launch" / "avatar.launch.py").is_file()
    assert (share / "media2face" / "package.xml").is_file()
    assert "avatar" in run([tmp_path / "env" / "bin" / "media2face", "--help"], tmp_path)
    assert "--presentation-delay" in run([tmp_path / "env" / "bin" / "media2face", "avatar", "--help"], tmp_path)


def test_pip_install_editable(source, wheels, tmp_path):
    python = make_python(tmp_path / "env")
    (wheel,) = wheels.glob("media2face_msgs-*.whl")
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], tmp_path)
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", source], tmp_path)
    _, room, _ = probe(python, tmp_path)
    assert room.startswith(str(source)), "an editable install runs the checkout"
    assert "avatar" in run([tmp_path / "env" / "bin" / "media2face", "--help"], tmp_path)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """A workspace whose build folder serves both colcon tests."""
    for name in ("colcon_core", "ament_package", "catkin_pkg"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -e '.[dev]'")
    return tmp_path_factory.mktemp("workspace")


@pytest.mark.parametrize("symlink", [False, True], ids=["copied", "symlinked"])
def test_colcon_build(source, workspace, symlink):
    prefix, tools = Path(sys.prefix), Path(sys.executable).parent
    environment = {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": str(prefix),
        "CMAKE_PREFIX_PATH": str(prefix),
    }
    # ament refuses to turn a folder that it copied into a link: only this part of the build is not shared
    shutil.rmtree(workspace / "build" / "media2face_msgs" / "ament_cmake_python", ignore_errors=True)
    shutil.rmtree(workspace / "build" / "media2face", ignore_errors=True)
    install = workspace / ("linked" if symlink else "copied")
    run(
        [sys.executable, "-m", "colcon", "build", "--merge-install", "--install-base", install,
         *(["--symlink-install"] if symlink else []), "--base-paths", source, source / "msgs"],
        workspace, **environment,
    )  # fmt: skip
    shell = (
        f". {install}/setup.sh && {sys.executable} - <<'END'\n{PROBE}\nEND\nros2_programs={install}/lib/media2face\n"
    )
    shell += 'for n in "$@"; do test -x $ros2_programs/$n || { echo "missing $n"; exit 1; }; done\n'
    shell += "media2face --help"
    output = run(["sh", "-c", shell, "sh", *NODES, "media2face"], workspace, **environment)
    assert "commands:" in output
    assert str(source if symlink else install) in output, "the rooms come from the right place"
    assert (install / "share" / "media2face" / "launch" / "avatar.launch.py").is_file()
    assert (install / "share" / "media2face_msgs" / "msg" / "Expression.msg").is_file()
