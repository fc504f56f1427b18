"""Arrays of numbers out of MATLAB's level 5 files (``save`` with ``-v6`` or ``-v7``).

"MAT-File Format", The MathWorks: a header of 128 bytes, then elements of a type, a size and so many bytes; a variable
is an element of elements (flags, dimensions, name, values), as it is or compressed. Every size is checked against the
bytes that are there, so that memory stays in proportion to the file.
"""

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError

_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# Classes of arrays; others are texts, cells, structures and objects.
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x0800
_MAX_BYTES = 128 * 1024**2
_MAX_AXES = 32


def read_array(content: bytes, name: str) -> npt.NDArray[np.generic]:
    """The variable ``name``, in MATLAB's order of axes.

    Raises:
        InputError: the file is cut short, damaged or of another level, or has no such array of real numbers.
    """
    if content[:8] == b"MATLAB 7" or content[1:4] == b"HDF":
        raise InputError("a MATLAB 7.3 file is not read; save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise InputError("truncated or not a MATLAB file (its header is not one of level 5)")
    for kind, value in _elements(content[128:], order):
        if kind == _COMPRESSED:
            ((kind, value),) = _elements(_unpacked(value), order)
        if kind != _MATRIX:
            raise InputError("truncated or not a MATLAB file (it holds something that is no variable)")
        found = _variable(value, order, name)
        if found is not None:
            return found
    raise InputError(f"it has no variable {name!r}")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The type and the bytes of each element."""
    at = 0
    while at < len(data):
        head = data[at : at + 8]
        kind, size = struct.unpack(order + "II", head.ljust(8, b"\0"))
        if kind >> 16:  # up to four bytes stand in the head itself
            size, kind = kind >> 16, kind & 0xFFFF
            value, step = head[4 : 4 + size], 8
        else:
            value, step = data[at + 8 : at + 8 + size], 8 + size
        if len(head) < 8 or len(value) < size:
            raise InputError("truncated or not a MATLAB file (an element is longer than the file)")
        yield kind, value
        at += step if kind == _COMPRESSED else -(-step // 8) * 8


def _unpacked(value: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(value, _MAX_BYTES)
    except zlib.error as error:
        raise InputError(f"truncated or not a MATLAB file ({error})") from None
    if stream.unconsumed_tail:
        raise InputError(f"a variable unpacks to more than {_MAX_BYTES:,} bytes; it is not read")
    if not stream.eof:
        raise InputError("truncated or not a MATLAB file (a compressed variable is cut short)")
    return data


def _variable(data: bytes, order: str, name: str) -> npt.NDArray[np.generic] | None:
    """The array, or None if it is another variable."""
    parts = list(_elements(data, order))
    kinds = [kind for kind, _ in parts[:3]]
    if kinds != [6, 5, 1] or len(parts[0][1]) != 8:
        raise InputError("truncated or not a MATLAB file (a variable has no flags, dimensions or name)")
    if parts[2][1] != name.encode():
        return None
    (flags,) = struct.unpack(order + "I", parts[0][1][:4])
    if flags & 0xFF not in _NUMBERS or flags & _COMPLEX or len(parts) != 4 or parts[3][0] not in _STORED:
        raise InputError(f"{name!r} must be numbers, not texts, complex numbers or a structure")
    shape = tuple(np.frombuffer(parts[1][1][: len(parts[1][1]) // 4 * 4], order + "i4").tolist())
    kind, stored = parts[3]
    values = np.dtype(order + _STORED[kind])
    if len(shape) > _MAX_AXES or min(shape, default=-1) < 0 or math.prod(shape) * values.itemsize != len(stored):
        raise InputError(f"truncated: {name!r} claims a shape {shape[:4]} that its {len(stored):,} bytes do not have")
    wanted = np.dtype(_NUMBERS[flags & 0xFF])
    return np.frombuffer(stored, values).astype(wanted).reshape(shape, order="F")
