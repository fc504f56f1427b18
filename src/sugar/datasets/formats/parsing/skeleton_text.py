"""The text of ``.skeleton`` files: NTU RGB+D's form, which UAV-Human shares with other joints.

A line with the number of frames; for each frame a line with the number of bodies; for each body a line of ten fields
(its id first), a line with the number of joints, and a line for each joint of twelve fields: x y z, depth image x y,
color image x y, orientation w x y z, tracking state. Lines end in LF or CRLF.

Files that are wholly regular, as those of the data sets are, are read by array operations on their bytes; any other
is read line by line, which either finds the same or says what is wrong in which line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sugar.datasets.formats.parsing.decimals import parse_between, parse_decimals
from sugar.errors import InputError, caught

BODY_FIELDS, JOINT_FIELDS = 10, 12
_WINDOW = 64  # bytes of a joint line in which its first three fields must end
_ONE = np.uint64(1)

# Given back at once: the C library then keeps that much of what is freed for the next file's arrays, where otherwise
# the system would have to page them in anew (an eighth of the reading time).
np.empty(16 * 1024**2, np.uint8)


@dataclass(frozen=True)
class Sightings:
    """What a file holds: N bodies, each in one frame.

    Args:
        num_frames: frames of the file, those without a body included.
        frame: ``[N]`` frame of each, ascending.
        body_id: its id, N of them.
        joints: ``[N, V, 3]`` x, y, z.
        state: ``[N, V]`` tracking state of each joint: 0, 1 or 2.
    """

    num_frames: int
    frame: npt.NDArray[np.int64]
    body_id: list[bytes]
    joints: npt.NDArray[np.float32]
    state: npt.NDArray[np.uint8]


def parse_skeleton_text(text: bytes, num_joints: int, *, kinect: bool = True) -> Sightings:
    """Read a file. Of a joint's fields x, y, z and the tracking state are looked at, of a body's the id.

    Args:
        kinect: a body has ten fields and a joint twelve, the last a tracking state. Otherwise the first joint says
            how many all have, and every joint counts as tracked.

    Raises:
        InputError: anything missing, left over or not a finite number, with its line.
    """
    regular = _read_regular([text], num_joints)
    return regular[0] if regular is not None else _read_lines(text, num_joints, kinect)


def parse_skeleton_texts(texts: Sequence[bytes], num_joints: int) -> list[Sightings | InputError]:
    """Read several files at once, which takes a third less time for small ones; an error stands in a file's place."""
    regular = _read_regular(texts, num_joints) if texts else []
    return list(regular) if regular is not None else [caught(parse_skeleton_text, text, num_joints) for text in texts]


def _read_regular(texts: Sequence[bytes], num_joints: int) -> list[Sightings] | None:
    """The files by array operations, or None unless each line of all is exactly as it should be."""
    texts = [text if text.endswith(b"\n") else text + b"\n" for text in texts]
    text = texts[0] if len(texts) == 1 else b"".join(texts)
    table = _line_table(text)
    if table is None:
        return None
    chars, blanks, starts, ends, num_fields = table

    # Lines of ten fields are bodies; they say where all other lines must be.
    body = np.flatnonzero(num_fields == BODY_FIELDS)
    each, lines_of_body = np.arange(len(body)), num_joints + 2
    places = np.cumsum([0, *map(len, texts)])
    first_line = np.searchsorted(starts, places)
    first_body = np.searchsorted(body, first_line)
    num_frames = np.diff(first_line) - 1 - lines_of_body * np.diff(first_body)
    heads = [
        text[start : ends[line]] for start, line in zip(places[:-1].tolist(), first_line[:-1].tolist(), strict=True)
    ]
    if (num_frames < 1).any() or heads != [b"%d" % number for number in num_frames.tolist()]:
        return None
    first_frame = np.concatenate([[0], np.cumsum(num_frames)])
    files = np.arange(len(texts))
    file_of_body = np.repeat(files, np.diff(first_body))
    frame = body - 2 - file_of_body - lines_of_body * each  # of all files together
    in_order = (
        (frame[1:] >= frame[:-1]).all()
        and (frame >= first_frame[file_of_body]).all()
        and (frame < first_frame[file_of_body + 1]).all()
    )
    if not in_order:
        return None
    num_bodies = np.bincount(frame, minlength=first_frame[-1])
    count = 1 + np.repeat(files, num_frames) + np.arange(first_frame[-1])
    count += lines_of_body * (np.cumsum(num_bodies) - num_bodies)
    joint = (body[:, None] + np.arange(2, lines_of_body)).reshape(-1)
    line, end = starts[joint], ends[joint]
    state = chars[end - 1] - np.uint8(ord("0"))
    regular = (
        # One digit: a frame has less than ten bodies; other counts are read line by line.
        (chars[starts[count]] - ord("0") == num_bodies).all()
        and (ends[count] - starts[count] == 1).all()
        and (chars[starts[body]] != ord(" ")).all()
        and (chars[ends[body] - 1] != ord(" ")).all()
        and _all_read(chars, starts[body + 1], ends[body + 1], b"%d" % num_joints)
        and np.count_nonzero(num_fields == JOINT_FIELDS) == len(joint)  # no other line has as many, says the above
        and (chars[end - 2] == ord(" ")).all()
        and state.max(initial=0) <= 2
    )
    fields = _first_three(blanks, line) if regular else None
    if fields is None:
        return None
    joints = parse_between(text, fields)
    if not np.isfinite(joints).all():
        return None
    body_id = _first_fields(text, starts[body])
    joints, state = joints.reshape(-1, num_joints, 3), state.reshape(-1, num_joints)
    return [
        Sightings(
            num_frames=int(num_frames[k]),
            frame=frame[a:b] - first_frame[k],
            body_id=body_id[a:b],
            joints=joints[a:b],
            state=state[a:b],
        )
        for k, (a, b) in enumerate(pairwise(first_body.tolist()))
    ]


class _LineTable(NamedTuple):
    """The characters of a text, a bit for each blank, and of each line the start, the end and the number of fields."""

    chars: npt.NDArray[np.uint8]
    blanks: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    num_fields: npt.NDArray[np.int64]


def _line_table(text: bytes) -> _LineTable | None:
    """The lines of a text, or None unless it is ASCII, all lines end alike and single spaces part their fields."""
    chars = np.frombuffer(text, np.uint8)
    mask = chars <= ord(" ")
    blanks = _bits(mask)
    second = blanks << _ONE  # of two blanks, one after the other
    second[1:] |= blanks[:-1] >> np.uint64(63)
    second &= blanks
    if crlf := text.find(b"\r\n", 0, _WINDOW) >= 0:
        feeds = _set_bits(second)
        ends = feeds - 1
    else:
        ends = feeds = _set_bits(_bits(np.equal(chars, ord("\n"), out=mask)))
        if second.any():
            return None
    # Seen as signed numbers, bytes that are not ASCII are below the space as well.
    np.less(chars.view(np.int8), ord(" "), out=mask)
    if np.count_nonzero(mask) != len(feeds) * (1 + crlf) or (chars[feeds] != ord("\n")).any():
        return None
    if crlf and (chars[ends] != ord("\r")).any():
        return None
    starts = np.zeros_like(ends)
    starts[1:] = feeds[:-1] + 1
    num_fields = _set_before(blanks, ends) + 1
    num_fields[1:] -= num_fields[:-1] + crlf
    return _LineTable(chars, blanks, starts, ends, num_fields)


def _first_fields(text: bytes, starts: npt.NDArray[np.int64]) -> list[bytes]:
    """What stands before the first space from each of the starts."""
    width = text.index(b" ", starts[0]) - int(starts[0]) + 1 if len(starts) else 1
    if width > _WINDOW:
        return [text[a : text.index(b" ", a)] for a in starts.tolist()]
    heads = np.ndarray(len(text) - width, f"S{width}", text, strides=(1,))[starts].tolist()
    fields = {head: head[: head.find(b" ")] for head in set(heads)}
    if all(b" " in head for head in fields):
        return [fields[head] for head in heads]
    return [text[a : text.index(b" ", a)] for a in starts.tolist()]  # some are longer than the first


def _bits(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Bit i of the result, 64 to a word and the lowest first, is ``mask[i]``; a word of zeros follows."""
    packed = np.packbits(mask, bitorder="little")
    words = np.zeros(len(packed) // 8 + 2, "<u8")
    words.view(np.uint8)[: len(packed)] = packed
    return words


def _set_bits(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where bits are set, ascending."""
    found = []
    word = np.flatnonzero(bits != 0)
    rest = bits[word]
    while len(word):
        lowest = rest & -rest
        found.append((word << 6) + np.bitwise_count(lowest - _ONE))
        rest ^= lowest
        more = np.flatnonzero(rest != 0)
        word, rest = word[more], rest[more]
    places = np.concatenate(found or [word])
    places.sort(kind="stable")  # made for runs that are sorted already
    return places


def _set_before(bits: npt.NDArray[np.uint64], places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many bits are set before each place."""
    word, bit = places >> 6, (places & 63).view(np.uint64)
    up_to = np.cumsum(np.bitwise_count(bits), dtype=np.int64)
    return up_to[word] - np.bitwise_count(bits[word] >> bit)


def _all_read(
    chars: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], what: bytes
) -> bool:
    if (ends - starts != len(what)).any():
        return False
    return bool((chars[starts[:, None] + np.arange(len(what))] == np.frombuffer(what, np.uint8)).all())


def _first_three(blanks: npt.NDArray[np.uint64], line: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Start and end of the first, second and third field of each line; None unless all lie within the window."""
    word, bit = line >> 6, (line & 63).view(np.uint64)
    ahead = blanks[word + 1]
    ahead <<= bit ^ np.uint64(63)  # shifting by 64 is undefined, hence in two steps
    ahead <<= _ONE
    ahead |= blanks[word] >> bit
    edges = np.empty((len(line), 6), np.int64)
    start = line
    for k in range(3):
        lowest = ahead & -ahead
        ahead ^= lowest
        lowest -= _ONE
        end = line + np.bitwise_count(lowest)
        edges[:, 2 * k], edges[:, 2 * k + 1] = start, end
        start = end + 1
    # Without a third blank its place was taken to be the window's end.
    return edges.reshape(-1) if (end < line + _WINDOW).all() else None


def _read_lines(text: bytes, num_joints: int, kinect: bool = True) -> Sightings:
    """The file line by line, with runs of blanks taken as one and blank lines at the end passed over."""
    lines = _Lines(text)
    body_fields = _exactly(BODY_FIELDS) if kinect else range(1, 100)
    joint_fields = _exactly(JOINT_FIELDS) if kinect else range(3, 100)
    num_frames = lines.count("the number of frames")
    if num_frames == 0:
        raise InputError("line 1: it has no frames")
    frames: list[int] = []
    ids: list[bytes] = []
    rows: list[list[bytes]] = []
    places: list[int] = []
    for t in range(num_frames):
        for _ in range(lines.count(f"the number of bodies in frame {t}")):
            ids.append(lines.fields(body_fields, f"a body of frame {t}")[0])
            frames.append(t)
            if lines.count("the number of joints") != num_joints:
                raise InputError(f"line {lines.number}: a body must have {num_joints} joints")
            for joint in range(num_joints):
                fields = lines.fields(joint_fields, f"joint {joint + 1} of a body of frame {t}")
                joint_fields = _exactly(len(fields))
                rows.append(fields)
                places.append(lines.number)
    lines.finish(num_frames)
    return Sightings(
        num_frames=num_frames,
        frame=np.array(frames, np.int64),
        body_id=ids,
        joints=_coordinates(rows, places).reshape(-1, num_joints, 3),
        state=(_states(rows, places) if kinect else np.full(len(rows), 2, np.uint8)).reshape(-1, num_joints),
    )


def _exactly(count: int) -> range:
    return range(count, count + 1)


class _Lines:
    """The lines of a text, one after the other."""

    def __init__(self, text: bytes) -> None:
        if not text.isascii():
            raise InputError("it is not text: it holds bytes that no number has")
        self._lines = text.rstrip().split(b"\n")
        self.number = 0

    def fields(self, allowed: range, what: str) -> list[bytes]:
        """The next line's fields, as many as allowed."""
        if self.number >= len(self._lines):
            raise InputError(f"it is truncated: line {self.number + 1} should hold {what}, but it ends before")
        fields = self._lines[self.number].split()
        self.number += 1
        if len(fields) not in allowed:
            last = " (the last line: it is truncated)" if self.number == len(self._lines) else ""
            raise InputError(f"line {self.number}: {what} needs {allowed[0]} fields, not {len(fields)}{last}")
        return fields

    def count(self, what: str) -> int:
        """The next line as a number of things."""
        field = self.fields(_exactly(1), what)[0]
        if not field.isdigit() or len(field) > 9:
            raise InputError(f"line {self.number}: {what} cannot be {_shown(field)}")
        return int(field)

    def finish(self, num_frames: int) -> None:
        """Nothing may be left over."""
        if self.number < len(self._lines):
            raise InputError(
                f"line {self.number + 1}: more lines follow, but the {num_frames} frames of line 1 are complete"
            )


def _coordinates(rows: list[list[bytes]], places: list[int]) -> npt.NDArray[np.float32]:
    fields = [field for row in rows for field in row[:3]]
    lengths = np.array([len(field) for field in fields], np.int64)
    ends = np.cumsum(lengths)
    values = parse_decimals(b"".join(fields), ends - lengths, ends)
    for i in np.flatnonzero(~np.isfinite(values))[:1]:
        raise InputError(f"line {places[i // 3]}: {'xyz'[i % 3]} is {_shown(fields[i])}, not a finite number")
    return values


def _states(rows: list[list[bytes]], places: list[int]) -> npt.NDArray[np.uint8]:
    for row, place in zip(rows, places, strict=True):
        if row[-1] not in (b"0", b"1", b"2"):
            raise InputError(f"line {place}: the tracking state must be 0, 1 or 2, not {_shown(row[-1])}")
    return np.array([row[-1][0] for row in rows], np.uint8) - np.uint8(ord("0"))


def _shown(field: bytes) -> str:
    text = field.decode("ascii", "replace")
    return repr(text if len(text) <= 20 else text[:20] + "...")
