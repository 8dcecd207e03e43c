"""glTF 2.0 in one binary file (GLB): written and read with json and numpy alone.

The container is two chunks, JSON and bytes; everything in the bytes is named by a chain accessor -> bufferView ->
buffer (glTF 2.0 specification, sections 3.6 and 4.4). What is read comes from strangers: sizes are bounded before
anything is allocated, and every offset is checked against what is really there.
"""

from __future__ import annotations

import json
import math
import os
import struct
from base64 import b64decode
from binascii import Error as Base64Error
from pathlib import Path

import numpy as np

from ...runtime.errors import InputError

MAGIC, VERSION, JSON_CHUNK, BIN_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
MAX_FILE, MAX_JSON = 256 << 20, 32 << 20
"""Bytes of the largest file, and of the largest description inside one, that are read."""
MAX_ELEMENTS = 16 << 20
"""Numbers in the largest accessor that is decoded."""
DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
CODES = {np.dtype(text): code for code, text in DTYPES.items()}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
ARRAY, INDICES = 34962, 34963


class Glb:
    """One GLB: ``tree`` is its description (the JSON), ``blob`` the bytes of its first buffer."""

    def __init__(self, tree: dict | None = None, blob: bytes = b"", name: str = "glb") -> None:
        self.tree = tree if tree is not None else {"asset": {"version": "2.0", "generator": "media2face"}}
        self.blob = bytearray(blob)
        self.name = name

    # ---------------------------------------------------------------- reading

    @classmethod
    def read(cls, path: str | Path) -> Glb:
        """Read a file.

        Raises:
            InputError: no such file, larger than ``MAX_FILE``, or not a whole GLB of version 2.
        """
        path = Path(path)
        try:
            size = os.stat(path).st_size
            if not path.is_file():
                raise InputError(f"expected a GLB file at {path}, found no file")
            if size > MAX_FILE:
                raise InputError(
                    f"{path.name} has {size / 1e6:.0f} MB, the most that is read is {MAX_FILE >> 20} MB: "
                    "make its textures smaller (gltf-transform resize)"
                )
            return cls.parse(path.read_bytes(), path.name)
        except OSError as error:
            raise InputError(f"expected a GLB file at {path}: {error.strerror or error}") from error

    @classmethod
    def parse(cls, data: bytes, name: str = "glb") -> Glb:
        """The same from bytes."""
        if len(data) < 20 or struct.unpack_from("<I", data)[0] != MAGIC:
            raise InputError(f"{name} is no GLB (binary glTF): export it as .glb, not as .gltf or another format")
        _, version, total = struct.unpack_from("<III", data)
        if version != VERSION:
            raise InputError(f"{name} is glTF {version}, expected 2: export it again with a current program")
        if total > len(data):
            raise InputError(f"{name} is cut off: it says {total} bytes and has {len(data)}: copy it again")
        length, kind = struct.unpack_from("<II", data, 12)
        if kind != JSON_CHUNK or 20 + length > total:
            raise InputError(f"{name} is damaged: its first chunk is not a whole JSON chunk")
        if length > MAX_JSON:
            raise InputError(f"{name}: the description has {length / 1e6:.0f} MB, at most {MAX_JSON >> 20} MB are read")
        try:
            tree = json.loads(data[20 : 20 + length], parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name} is damaged: its description is not JSON ({error})") from error
        _check_tree(tree, name)
        blob, start = b"", 20 + length
        if start + 8 <= total:
            length, kind = struct.unpack_from("<II", data, start)
            if kind == BIN_CHUNK:
                if start + 8 + length > total:
                    raise InputError(f"{name} is cut off: its bytes end at {total}, {start + 8 + length} were promised")
                blob = data[start + 8 : start + 8 + length]
        return cls(tree, blob, name)

    def items(self, key: str) -> list:
        """A top-level list of the description, empty where there is none."""
        return self.tree.get(key, [])

    def array(self, index: int) -> np.ndarray:
        """Accessor as (count, width): float32 where it is normalised or float, else as stored.

        Raises:
            InputError: if the accessor lies about sizes, reaches outside the bytes, or is too large.
        """
        accessor, dtype, width, count = self._accessor(index)
        if accessor["type"].startswith("MAT") and dtype.itemsize < 4:
            raise InputError(f"{self.name}: accessor {index} holds matrices of small integers, which are not read")
        if count * width > MAX_ELEMENTS:
            raise InputError(f"{self.name}: accessor {index} says {count} elements, more than are read")
        if "bufferView" in accessor:
            values = self._strided(accessor["bufferView"], accessor.get("byteOffset", 0), count, width, dtype, index)
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            self._scatter(values, accessor["sparse"], dtype, index)
        if accessor.get("normalized") and dtype.kind in "iu":
            top = np.iinfo(dtype).max
            return np.maximum(values.astype(np.float32) / top, -1.0)
        return values

    def check_accessor(self, index: int) -> None:
        """Check, without reading it, that an accessor lies within the bytes that are there.

        Raises:
            InputError: if it does not.
        """
        accessor, dtype, width, count = self._accessor(index)
        if "bufferView" not in accessor:
            return
        view = self._item("bufferViews", accessor["bufferView"])
        if "extensions" in view:  # packed: its length is not the unpacked one's
            return
        self._room(view, accessor.get("byteOffset", 0), count, width * dtype.itemsize, index)

    def _accessor(self, index: int) -> tuple[dict, np.dtype, int, int]:
        """An accessor with the type, width and number of its elements."""
        accessor = self._item("accessors", index)
        kind, code, count = accessor.get("type"), accessor.get("componentType"), accessor.get("count")
        known = isinstance(kind, str) and kind in WIDTHS and type(code) is int and code in DTYPES
        if not known or type(count) is not int or count < 0:
            raise InputError(f"{self.name}: accessor {index} has type {kind!r}, components {code!r}, count {count!r}")
        return accessor, np.dtype(DTYPES[code]), WIDTHS[kind], count

    def _room(self, view: dict, offset: int, count: int, row: int, index: int) -> tuple[bytes | bytearray, int, int]:
        """The bytes of a view, where an accessor begins in them, and its stride."""
        data = self._buffer(view.get("buffer", -1))
        start, length, stride = view.get("byteOffset", 0), view.get("byteLength", -1), view.get("byteStride", row)
        if not all(type(n) is int and n >= 0 for n in (start, length, stride, offset)) or start + length > len(data):
            raise InputError(f"{self.name}: accessor {index} lies at {start} + {length} of {len(data)} bytes")
        if count and (stride < row or offset + stride * (count - 1) + row > length):
            raise InputError(f"{self.name}: accessor {index} needs more bytes than its view of {length} has")
        return data, start + offset, stride

    def _scatter(self, values: np.ndarray, sparse: dict, dtype: np.dtype, index: int) -> None:
        try:
            count, rows, new = sparse["count"], sparse["indices"], sparse["values"]
            rows_type = np.dtype(DTYPES[rows["componentType"]])
            places = (rows["bufferView"], rows.get("byteOffset", 0)), (new["bufferView"], new.get("byteOffset", 0))
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"{self.name}: the sparse part of accessor {index} is not whole ({error})") from error
        if type(count) is not int or not 0 <= count <= len(values) or rows_type.kind != "u":
            raise InputError(f"{self.name}: the sparse part of accessor {index} replaces {count} of {len(values)}")
        where = self._strided(*places[0], count, 1, rows_type, index)[:, 0]
        if count and where.max() >= len(values):
            raise InputError(f"{self.name}: the sparse part of accessor {index} points at {where.max()}, past its end")
        values[where] = self._strided(*places[1], count, values.shape[1], dtype, index)

    def _strided(self, view: int, offset: int, count: int, width: int, dtype: np.dtype, index: int) -> np.ndarray:
        data, start, stride = self._room(self._item("bufferViews", view), offset, count, width * dtype.itemsize, index)
        if not count:
            return np.zeros((0, width), dtype)
        return np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize)).copy()

    def _buffer(self, index: int) -> bytes | bytearray:
        buffer = self._item("buffers", index)
        uri = buffer.get("uri")
        if uri is None:
            if index:
                raise InputError(f"{self.name}: buffer {index} is neither in the file nor named")
            return self.blob
        head, _, body = str(uri).partition(",")
        if not head.startswith("data:") or not head.endswith(";base64"):
            raise InputError(f"{self.name} keeps data in another file ({str(uri)[:60]}): export it as one .glb file")
        try:
            return b64decode(body, validate=True)
        except (Base64Error, ValueError) as error:
            raise InputError(f"{self.name}: buffer {index} is not base64 ({error})") from error

    def _item(self, key: str, index: int) -> dict:
        items = self.items(key)
        if type(index) is not int or not 0 <= index < len(items):
            raise InputError(f"{self.name}: there is no {key}[{index}], the file has {len(items)}")
        return items[index]

    # ---------------------------------------------------------------- writing

    def add(self, key: str, item: dict) -> int:
        """Append to a top-level list; its index."""
        items = self.tree.setdefault(key, [])
        items.append(item)
        return len(items) - 1

    def view(self, data: bytes, target: int | None = None, stride: int | None = None) -> int:
        """Append bytes at the next multiple of four; the index of their bufferView."""
        self.tree.setdefault("buffers", [{"byteLength": 0}])
        self.blob += bytes(-len(self.blob) % 4)
        item = {"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data)}
        if stride:
            item["byteStride"] = stride
        if target:
            item["target"] = target
        self.blob += data
        return self.add("bufferViews", item)

    def accessor(
        self, array: np.ndarray, target: int | None = None, normalized: bool = False, bounds: bool = False
    ) -> int:
        """Append an array (n,) or (n, width) as stored; rows of attributes are padded to four bytes as glTF asks."""
        array = np.ascontiguousarray(array.reshape(len(array), -1))
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        row = array.shape[1] * array.itemsize
        stride = None
        data = array.tobytes()
        if target == ARRAY and row % 4:
            stride = row + -row % 4
            padded = np.zeros((len(array), stride), np.uint8)
            padded[:, :row] = array.view(np.uint8).reshape(len(array), row)
            data = padded.tobytes()
        item = {"bufferView": self.view(data, target, stride)}
        return self.add("accessors", item | describe(array, normalized, array if bounds else None))

    def to_bytes(self) -> bytes:
        """The file.

        Raises:
            InputError: if the description holds NaN or infinity.
        """
        blob = bytes(self.blob) + bytes(-len(self.blob) % 4)
        if blob and self.items("buffers"):
            self.tree["buffers"][0]["byteLength"] = len(self.blob)
        try:
            text = json.dumps(self.tree, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            raise InputError(f"{self.name}: a number in the description is not finite ({error})") from error
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), JSON_CHUNK) + text
        if blob:
            chunks += struct.pack("<II", len(blob), BIN_CHUNK) + blob
        return struct.pack("<III", MAGIC, VERSION, 12 + len(chunks)) + chunks


def describe(array: np.ndarray, normalized: bool = False, bounds: np.ndarray | None = None) -> dict:
    """An accessor's fields for an array (n, width) as stored; ``bounds`` are rows whose least and greatest are told."""
    item = {"componentType": CODES[array.dtype], "count": len(array), "type": TYPES[array.shape[1]]}
    if normalized:
        item["normalized"] = True
    if bounds is not None:
        item |= {"min": bounds.min(axis=0).tolist(), "max": bounds.max(axis=0).tolist()}
    return item


def _check_tree(tree: object, name: str) -> None:
    """The shapes that the rest of this module relies on."""
    asset = tree.get("asset") if isinstance(tree, dict) else None
    if not isinstance(asset, dict) or not str(asset.get("version", "")).startswith("2"):
        raise InputError(f"{name}: its description is no glTF 2.0 asset")
    for key in ("accessors", "animations", "buffers", "bufferViews", "images", "meshes", "nodes", "skins"):
        items = tree.get(key, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise InputError(f"{name} is damaged: {key!r} is not a list of objects")


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def finite(values: list, count: int) -> bool:
    """Whether a list of the description holds ``count`` finite numbers."""
    numbers = isinstance(values, list) and len(values) == count and all(isinstance(v, (int, float)) for v in values)
    return numbers and all(math.isfinite(v) for v in values)
