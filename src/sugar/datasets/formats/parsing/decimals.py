"""Decimal numbers out of large texts, many at once and exactly as Python's ``float`` reads them."""

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Indices = npt.NDArray[np.int64]

_NUMBER = re.compile(rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def parse_decimals(text: bytes, starts: Indices, ends: Indices) -> npt.NDArray[np.float32]:
    """The numbers at ``text[start:end]``, each equal to ``numpy.float32(float(...))``.

    Arrow reads them, correctly rounded (Lemire, "Number parsing at a gigabyte per second", 2021), where they stand:
    the text is taken for an array of strings, of which every second, what lies between two numbers, is missing.

    Args:
        starts, ends: of any one shape; positions in ``text``, ascending.

    Returns:
        Values of that shape; NaN where the text is not a number, infinite where it is too large for float32.
    """
    offsets = np.stack([starts, ends], axis=-1).reshape(-1)
    return parse_between(text, offsets).reshape(starts.shape)


def parse_between(text: bytes, offsets: Indices) -> npt.NDArray[np.float32]:
    """The same with the start and the end of each number one after the other: ``[2 * N]``."""
    count = len(offsets) // 2
    if count == 0:
        return np.empty(0, np.float32)
    every_second = pa.py_buffer(b"\x55" * (count // 4 + 1))
    buffers = [every_second, pa.py_buffer(offsets), pa.py_buffer(text)]
    strings = pa.Array.from_buffers(pa.large_utf8(), 2 * count - 1, buffers)
    with np.errstate(over="ignore"):
        try:
            found = pc.cast(strings, pa.float64())
            values = np.frombuffer(found.buffers()[1], np.float64, 2 * count - 1)[::2].astype(np.float32)
            # Not a number for us: "nan" and "inf".
            doubtful = np.flatnonzero(~np.isfinite(values))
        except pa.ArrowInvalid:
            values = np.empty(count, np.float32)
            doubtful = np.arange(count)
        for i in doubtful.tolist():
            token = text[offsets[2 * i] : offsets[2 * i + 1]]
            values[i] = float(token) if _NUMBER.fullmatch(token) else np.nan
    return values
