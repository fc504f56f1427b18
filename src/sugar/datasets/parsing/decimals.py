"""Decimal numbers out of large texts, many at once and exactly as Python's ``float`` reads them."""

import re

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

_NUMBER = re.compile(rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_MAX_DECIMALS = 14  # with one digit before them they stay below 2**53, where a float64 is exact
_POWERS = np.array([float(10**k) for k in range(_MAX_DECIMALS + 1)])  # exact, which NumPy's power need not be
_PAD = b" " * 8
_PIECE = 8192
_ZEROS = 0x3030303030303030  # eight characters "0"


def parse_decimals(text: bytes, starts: Indices, ends: Indices) -> npt.NDArray[np.float32]:
    """The numbers at ``text[start:end]``, each equal to ``numpy.float32(float(...))``.

    Numbers of the form ``-d.ddd`` are read eight digits at a time in 64-bit words (as in Lemire, "Number parsing at a
    gigabyte per second", 2021): an integer below 2**53 divided by a power of ten is rounded once, hence correctly.
    Others, such as ``1.5e-05``, go through ``float``.

    Args:
        starts, ends: of any one shape; positions in ``text``.

    Returns:
        Values of that shape; NaN where the text is not a number, infinite where it is too large for float32.
    """
    first, last = starts.reshape(-1), ends.reshape(-1)
    padded = text
    if first.size and (first.min() < len(_PAD) or last.max() + len(_PAD) > len(text)):
        padded = _PAD + text + _PAD
        first, last = first + len(_PAD), last + len(_PAD)
    values = np.empty(first.shape, np.float32)
    # Piece by piece, so that the steps' results stay in the processor's cache.
    with np.errstate(over="ignore"):
        for i in range(0, len(first), _PIECE):
            values[i : i + _PIECE] = _parse_piece(padded, first[i : i + _PIECE], last[i : i + _PIECE])
    return values.reshape(starts.shape)


def _parse_piece(text: bytes, first: Indices, last: Indices) -> npt.NDArray[np.float64]:
    # Eight bytes from each position of the text, as one number whose lowest byte is the first character.
    words = np.ndarray((len(text) - 7,), np.dtype("<u8"), buffer=text, strides=(1,))
    lead, tail = words[first], words[last - 8]
    negative = (lead & np.uint64(0xFF)) == np.uint64(ord("-"))
    lead >>= negative * np.uint64(8)
    lead &= np.uint64(0xFFFF)
    lead ^= np.uint64(0x2E30)  # now below ten where a digit and a point come first
    decimals = last - first
    decimals -= negative
    decimals -= 2
    odd = np.empty(0, np.int64)
    if lead.max() > 9 or decimals.min() < 1 or decimals.max() > _MAX_DECIMALS:
        odd = np.flatnonzero((lead > 9) | (decimals < 1) | (decimals > _MAX_DECIMALS))
        lead[odd], decimals[odd], tail[odd] = 0, 8, _ZEROS

    mantissa, no_digits = _eight_digits(tail, np.maximum(8 - decimals, 0))
    long = np.flatnonzero(decimals > 8)
    if long.size:
        upper, no_upper_digits = _eight_digits(words[last[long] - 16], 16 - decimals[long])
        mantissa[long] += upper * 1e8
        no_digits = np.concatenate([no_digits, long[no_upper_digits]])
    scale = _POWERS[decimals]
    values = lead.astype(np.float64)
    values *= scale
    values += mantissa
    values /= scale
    values.view(np.uint64)[...] |= negative * np.uint64(1 << 63)  # the sign bit: -0.0 stays what it is
    for i in (*odd.tolist(), *no_digits.tolist()):
        token = text[first[i] : last[i]]
        values[i] = float(token) if _NUMBER.fullmatch(token) else np.nan
    return values


def _eight_digits(
    words: npt.NDArray[np.uint64], unused: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The numbers that eight characters spell, the first ``unused`` left out, and where they are no digits."""
    shift = (unused << 3).view(np.uint64)
    digits = words ^ np.uint64(_ZEROS)
    digits >>= shift
    digits <<= shift
    check = digits + np.uint64(0x7676767676767676)
    check |= digits
    check &= np.uint64(0x8080808080808080)
    digits *= np.uint64(2561)
    digits >>= np.uint64(8)
    digits &= np.uint64(0x00FF00FF00FF00FF)
    digits *= np.uint64(6553601)
    digits >>= np.uint64(16)
    digits &= np.uint64(0x0000FFFF0000FFFF)
    digits *= np.uint64(42949672960001)
    digits >>= np.uint64(32)
    return digits.astype(np.float64), np.flatnonzero(check) if check.any() else np.empty(0, np.int64)
