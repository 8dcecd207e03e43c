"""Files that are whole or not there: written beside their place, made durable, then renamed; and their checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from media2face.runtime.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that appears at ``path`` when the block ends well, and leaves nothing behind when it does not.

    Raises:
        InputError: where the disk (or a limit on it) is full; the message says what to do. Other errors pass through.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise disk_full(path, error) from error
        raise
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def sweep(folder: str | Path) -> None:
    """Remove what processes that were killed left half written below ``folder``."""
    for part in Path(folder).rglob(".*.part"):
        owner = part.name.split(".")[-2]
        if not owner.isdigit() or not _is_writing(int(owner), part):
            part.unlink(missing_ok=True)


def _is_writing(process: int, part: Path) -> bool:
    """Whether another process that began ``part`` still runs: not one that was killed and waits to be reaped, nor a
    later one that got its number."""
    if process == os.getpid():
        return False
    try:
        owner = psutil.Process(process)
        return owner.status() != psutil.STATUS_ZOMBIE and owner.create_time() <= part.stat().st_mtime + 1.0
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.AccessDenied:
        return True


def disk_full(path: str | Path, error: OSError) -> InputError:
    """The error to raise when ``path`` could not be written for want of room."""
    return InputError(
        f"no room to write {Path(path).name} in {Path(path).parent} ({error.strerror or error}): all that was finished "
        "is kept; make room and run the same command again"
    )


def write_json(path: str | Path, value: Any) -> None:
    """``value`` as indented JSON at ``path``, whole or not at all."""
    with whole_file(path) as file:
        file.write((json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def sha256(path: str | Path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


class Journal:
    """A file of one JSON object per line, added to as work gets done; what a kill left half written is dropped.

    Args:
        path: the ``.jsonl`` file; made at the first line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.lines = self.read(path)
        if self.path.is_file():
            whole = sum(len(_line(value)) for value in self.lines)
            if whole < self.path.stat().st_size:
                os.truncate(self.path, whole)

    @staticmethod
    def read(path: str | Path) -> list[dict]:
        """The whole lines of a journal, which may be added to meanwhile; none if it is not there."""
        lines: list[dict] = []
        if Path(path).is_file():
            for line in Path(path).read_bytes().splitlines(keepends=True):
                try:
                    value = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    value = None
                if not isinstance(value, dict):
                    break
                lines.append(value)
        return lines

    def add(self, value: dict) -> None:
        """Append one object, on the disk when this returns; half a line never stays.

        Raises:
            InputError: if there is no room.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = _line(value)
        before = self.path.stat().st_size if self.path.is_file() else 0
        try:
            with open(self.path, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.is_file():
                os.truncate(self.path, before)
            if error.errno in _FULL:
                raise disk_full(self.path, error) from error
            raise
        self.lines.append(value)


def _line(value: dict) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()
