"""Values of Python as JSON, strictly.

By itself, json.dumps turns keys into text, writes NaN, and passes on halves of surrogate pairs.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ._errors import invalid

# The deepest value that is written. The engine has lower bounds of its own for most of them.
_DEPTH = 64
# The most values that are written: more than any body has room for. One that is there many times is counted as often.
_VALUES = 600_000
# The longest name of a field in an error, in characters.
_FIELD = 64


def written(field: str, value: object, *, paths: bool = False) -> str:
    """A value as JSON.

    An error names the part of the value that JSON does not have, and `field` where that is the value itself. With
    `paths`, paths are written as text.
    """
    return json.dumps(_plain("", field, value, 1, paths, itertools.count(1)), ensure_ascii=False, separators=(",", ":"))


def text(field: str, value: str) -> str:
    """A text that is the same in UTF-8."""
    try:
        str.encode(value)
    except UnicodeEncodeError:
        # Passed on, half a surrogate pair would become another character, and two ids would become one.
        raise invalid(field, "has half of a surrogate pair, which is no text") from None
    return value


def _plain(path: str, root: str, value: object, depth: int, paths: bool, count: Iterator[int]) -> object:
    """The value, built of nothing but the types that json.dumps writes as they are."""
    if next(count) > _VALUES:
        raise invalid(root, f"holds more than {_VALUES} values")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(path or root, value)
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return value
        raise invalid(path or root, "is an integer of more than 64 bits; send it as text")
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise invalid(path or root, f"is {value}, which is no number of JSON")
    if depth > _DEPTH:
        raise invalid(path or root, f"is nested deeper than {_DEPTH} levels")
    if isinstance(value, Mapping):
        return {
            _key(path or root, key): _plain(_within(path, key), root, part, depth + 1, paths, count)
            for key, part in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(f"{path or root}[{n}]", root, part, depth + 1, paths, count) for n, part in enumerate(value)]
    if paths and isinstance(value, os.PathLike):
        return path_text(path or root, value)
    raise invalid(path or root, f"is of type {type(value).__name__}, which JSON does not have")


def path_text(field: str, value: str | os.PathLike[str]) -> str:
    """A path as text."""
    path: Any = os.fspath(value)
    if not isinstance(path, str):
        raise invalid(field, "is a path of bytes; it takes one of text")
    return text(field, path)


def _key(path: str, key: object) -> str:
    if isinstance(key, str):
        return text(path, key)
    raise invalid(path, f"has a key of type {type(key).__name__}; JSON's are text")


def _within(path: str, key: object) -> str:
    """The name of a part, short and printable whatever the key is."""
    name = str(key).encode("utf-8", "backslashreplace").decode()
    name = name if len(name) <= _FIELD else name[:_FIELD] + "…"
    return f"{path}.{name}" if path else name
