"""What killed processes leave half written is removed; what living ones are writing is not."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from media2face.data.files import sweep, whole_file


def _part(folder, owner: int):
    path = folder / f".clip.npz.{owner}.part"
    path.write_bytes(b"half")
    return path


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_living_writer_keeps_its_file(tmp_path, sleeper):
    part = _part(tmp_path, sleeper.pid)
    sweep(tmp_path)
    assert part.is_file()


def test_a_killed_writer_that_nobody_reaped_does_not(tmp_path, sleeper):
    part = _part(tmp_path, sleeper.pid)
    sleeper.kill()
    deadline = time.monotonic() + 10
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    sweep(tmp_path)
    assert not part.exists()


def test_a_number_that_went_to_a_later_process_does_not_keep_it(tmp_path, sleeper):
    part = _part(tmp_path, sleeper.pid)
    os.utime(part, (time.time() - 3600,) * 2)
    sweep(tmp_path)
    assert not part.exists()


def test_what_nobody_owns_and_our_own_leftovers_go(tmp_path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    parts = [_part(tmp_path, int(gone.stdout)), _part(tmp_path, os.getpid())]
    with whole_file(tmp_path / "kept.npz") as file:
        file.write(b"whole")
    sweep(tmp_path)
    assert not any(p.exists() for p in parts) and (tmp_path / "kept.npz").read_bytes() == b"whole"
