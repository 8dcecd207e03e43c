"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import onnxruntime as ort
import psutil


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def install_mb(prefix: str | Path = sys.prefix) -> float:
    """Size of the running environment on disk, MB (10^6 bytes); files linked twice count once."""
    seen, total = set(), 0
    for folder, _, names in os.walk(prefix):
        for name in names:
            try:
                info = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if info.st_ino not in seen:
                seen.add(info.st_ino)
                total += info.st_blocks * 512
    return total / 1e6


def describe() -> dict[str, str | int | float]:
    """Hardware and software, flat keys."""
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "onnxruntime": ort.__version__,
        "offered_providers": ",".join(ort.get_available_providers()),
        "load_before": round(os.getloadavg()[0], 2),
    }
