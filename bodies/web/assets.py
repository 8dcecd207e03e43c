"""The page's files: read once, compressed once, served with their types, a tag for caches, and strict headers."""

from __future__ import annotations

import gzip
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from ...runtime.errors import ConfigError

STATIC = Path(__file__).with_name("static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".glb": "model/gltf-binary",
}
PACKED = {".html", ".css", ".js", ".json", ".txt", ".svg", ".glb"}
LEVEL = 6


@dataclass(frozen=True)
class Asset:
    """A file as it is sent: ``packed`` is its gzip form, or None where that saves nothing."""

    type: str
    body: bytes
    packed: bytes | None
    tag: str


class Assets:
    """Files of one folder (no sub-folders), by name.

    Raises:
        ConfigError: if the page has not been built.
    """

    def __init__(self, folder: Path = STATIC) -> None:
        if not (folder / "index.html").is_file():
            raise ConfigError(f"the avatar page is not built: {folder} has no index.html; run `npm ci` and "
                              f"`npm run build` in {folder.parent}")  # fmt: skip
        self.names = tuple(sorted(p.name for p in folder.iterdir() if p.suffix in TYPES and p.is_file()))
        self._folder = folder
        self._read: dict[str, tuple[int, Asset]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Asset | None:
        """A file by its bare name; None if there is none. Compresses on first use, or after the file has changed."""
        if name not in self.names:
            return None
        path = self._folder / name
        with self._lock:
            try:
                changed = path.stat().st_mtime_ns
                known = self._read.get(name)
                if known is None or known[0] != changed:
                    self._read[name] = known = (changed, self._load(path))
            except OSError:
                return None
            return known[1]

    @staticmethod
    def _load(path: Path) -> Asset:
        body = path.read_bytes()
        packed = gzip.compress(body, LEVEL, mtime=0) if path.suffix in PACKED else None
        if packed is not None and len(packed) > 0.97 * len(body):
            packed = None
        return Asset(TYPES[path.suffix], body, packed, f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def security_headers(host: str) -> dict[str, str]:
    """Headers of every answer: nothing but this page's own files and its own socket may be used."""
    return {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
            f"connect-src 'self' ws://{host} wss://{host} blob: data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    }
