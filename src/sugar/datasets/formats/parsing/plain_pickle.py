"""Reading pickles of plain values and NumPy arrays without running them.

A pickle is a program for a small stack machine, and its instructions can call any function of any module. Here it
runs on a machine that has only the instructions that make plain values, knows a handful of global names by heart
and imports nothing: what rebuilds NumPy arrays and numbers is done by our own code, which checks every size against
the bytes that are there. So nothing of the file is executed, and memory stays in proportion to the file.
"""

import math
import pickletools
import re
import struct
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from sugar.errors import InputError

_CODECS, _NDARRAY, _DTYPE, _BYTEARRAY = "_codecs.encode", "numpy.ndarray", "numpy.dtype", "builtins.bytearray"
_BYTES = "builtins.bytes"
_RECONSTRUCT, _SCALAR, _FROMBUFFER = "_reconstruct", "scalar", "_frombuffer"
# By the names of NumPy 1 and 2, in every protocol.
_KNOWN = (
    {name: name for name in (_CODECS, _NDARRAY, _DTYPE, _BYTEARRAY)}
    | {"__builtin__.bytes": _BYTES}
    | {
        f"numpy.{core}.{module}.{name}": name
        for core in ("core", "_core")
        for module, name in (("multiarray", _RECONSTRUCT), ("multiarray", _SCALAR), ("numeric", _FROMBUFFER))
    }
)

_VALUE = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BYTEARRAY8"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLE = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NUMBER_TYPE = re.compile(r"[fiu][1248]|b1|bool|(float|u?int)(8|16|32|64)")
_MAX_AXES = 8


@dataclass(frozen=True, slots=True)
class _Global:
    """A function or class that the pickle names; nothing is behind it."""

    name: str


@dataclass(slots=True)
class _NumberType:
    dtype: np.dtype[Any]


@dataclass(slots=True, eq=False)
class Array:
    """An array of the pickle, ``values`` None as long as it was not filled."""

    values: npt.NDArray[Any] | None = None


def load_plain(data: bytes | memoryview, *, until_axes: int = 0) -> Any:
    """The value of a pickle: None, bool, int, float, str, bytes, list, tuple, dict (keys str or int), `Array`.

    Args:
        data: the pickle; arrays of a memory map stay views of it.
        until_axes: stop at the first array of so many axes and return that.

    Raises:
        InputError: it is cut short or damaged, names a function that a data file has no need of, or contradicts
            itself in its sizes.
    """
    machine = _Machine(until_axes)
    try:
        return machine.run(data)
    except AttributeError:  # a long text of Python 2, which pickletools would decode itself
        raise InputError("it has an instruction that plain values and arrays have no need of") from None
    except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"truncated or not a pickle ({str(error).splitlines()[0][:80] if str(error) else 'end'})"
        ) from None


class _Source:
    """What `pickletools` reads from: never more than there is, and large pieces as views."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data, self._at = memoryview(data), 0

    def tell(self) -> int:
        return self._at

    def read(self, count: int) -> Any:
        piece = self._data[self._at : self._at + count]
        self._at += len(piece)
        return piece if len(piece) > 256 else bytes(piece)

    def readline(self) -> bytes:
        line = bytes(self._data[self._at : self._at + 1024])
        line = line[: line.find(b"\n") + 1]
        self._at += len(line)
        return line


class _Machine:
    def __init__(self, until_axes: int) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._until_axes = until_axes
        self._found: Array | None = None
        self._room = 0

    def run(self, data: bytes | memoryview) -> Any:
        stack, memo = self._stack, self._memo
        self._room = len(data)
        source = cast(IO[bytes], _Source(data))
        for operation, value, _ in pickletools.genops(source):
            name, argument = operation.name, cast(Any, value)
            if name in _VALUE:
                stack.append(argument)
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name in _TUPLE:
                stack.append(tuple(self._take(len(stack) - _TUPLE[name])))
            elif name == "MARK":
                self._marks.append(len(stack))
            elif name == "STACK_GLOBAL":
                module, function = self._take(len(stack) - 2)
                stack.append(_global(f"{_expect(module, str)}.{_expect(function, str)}"))
            elif name == "GLOBAL":
                stack.append(_global(argument.replace(" ", ".", 1)))
            elif name == "REDUCE":
                function, arguments = self._take(len(stack) - 2)
                stack.append(self._seen(_call(function, arguments)))
            elif name == "BUILD":
                (state,) = self._take(len(stack) - 1)
                self._seen(_fill(stack[-1], state))
            elif name in _CONSTANT:
                stack.append(_CONSTANT[name])
            elif name == "STOP":
                return stack[-1]
            else:
                self._container(name)
            if self._found is not None:
                return self._found
        raise ValueError("no end")  # genops has raised it before

    def _container(self, name: str) -> None:
        stack = self._stack
        match name:
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self._take(self._marks.pop())))
            case "APPEND" | "APPENDS":
                items = self._take(len(stack) - 1 if name == "APPEND" else self._marks.pop())
                _expect(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._take(len(stack) - 2 if name == "SETITEM" else self._marks.pop())
                target = _expect(stack[-1], dict)
                for key, value in zip(items[::2], items[1::2], strict=True):
                    if type(key) not in (str, int):
                        raise InputError("it has a dict with keys that are neither names nor numbers")
                    target[key] = value
            case "PROTO" | "FRAME":
                pass
            case _:
                raise InputError(f"it has the instruction {name}, which plain values and arrays have no need of")

    def _take(self, start: int) -> list[Any]:
        """Off the stack from ``start`` on."""
        if not 0 <= start <= len(self._stack):
            raise IndexError("its stack runs empty")
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _seen(self, value: Any) -> Any:
        """Keep account of an array that has been filled."""
        if isinstance(value, Array) and value.values is not None:
            # Many arrays over the same few bytes would unpack to any size.
            self._room -= value.values.nbytes
            if self._room < 0:
                raise InputError("its arrays are larger than the file")
            if self._until_axes and value.values.ndim == self._until_axes:
                self._found = value
        return value


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"a {kind.__name__} was expected")
    return value


def _global(name: str) -> _Global:
    if name not in _KNOWN:
        raise InputError(f"it asks for {name[:80]!r}, which a file of data has no need of; it was not run")
    return _Global(_KNOWN[name])


def _call(function: Any, arguments: Any) -> Any:
    _expect(arguments, tuple)
    match _expect(function, _Global).name, arguments:
        case ("_reconstruct", (_Global(name="numpy.ndarray"), _, _)):
            return Array()
        case ("numpy.ndarray", (shape, _NumberType() as kind, raw)):  # how `write_pyskl` writes them
            return Array(_array(raw, kind, shape, "C"))
        case ("_frombuffer", (raw, _NumberType() as kind, shape, str(order))):
            return Array(_array(raw, kind, shape, order))
        case ("numpy.dtype", (str(name), *_)):
            if not _NUMBER_TYPE.fullmatch(name):
                raise InputError(f"it has an array of type {name[:40]!r}, not of numbers")
            return _NumberType(np.dtype(name))
        case ("scalar", (_NumberType() as kind, raw)):
            return _array(raw, kind, (), "C").item()
        case ("_codecs.encode", (str(text), "latin1")):
            return text.encode("latin1")
        case ("builtins.bytes", ()):  # how protocol 2 writes none
            return b""
        case ("builtins.bytearray", (raw,)):
            return _raw(raw)
    raise TypeError(f"{function.name} is called with something that it does not take")


def _fill(target: Any, state: Any) -> Any:
    match target, state:
        case (Array(), (_, shape, _NumberType() as kind, bool() | int() as by_columns, raw)):
            target.values = _array(raw, kind, shape, "F" if by_columns else "C")
        case (_NumberType(), (_, ("<" | ">" | "|" | "=") as order, *_)):
            target.dtype = target.dtype.newbyteorder(order)
        case _:
            raise TypeError("an array has a state that it cannot take")
    return target


def _raw(value: Any) -> Any:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("an array lacks its bytes")
    return value


def _array(raw: Any, kind: _NumberType, shape: Any, order: str) -> npt.NDArray[Any]:
    axes = _expect(shape, tuple)
    if len(axes) > _MAX_AXES or not all(type(n) is int and 0 <= n < 2**31 for n in axes) or order not in ("C", "F"):
        raise InputError("it has an array of a shape that cannot be")
    size = len(_raw(raw))
    if math.prod(axes) * kind.dtype.itemsize != size:
        raise InputError(f"an array of shape {axes} and type {kind.dtype} does not have {size:,} bytes")
    flat = np.frombuffer(raw, dtype=kind.dtype) if size else np.empty(0, dtype=kind.dtype)
    return flat.reshape(axes, order="C" if order == "C" else "F")
