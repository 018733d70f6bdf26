"""The step's output as JSON text, by one rule for both languages (docs/steps.md).

None, booleans, finite numbers, str, list, tuple and dict with str keys pass; everything else is an error that names its
path. Whole numbers beyond 2**53 - 1 are refused like JavaScript's BigInt: most readers of JSON would round them.
"""

import math
from json import dumps

SAFE_INTEGER_MAX = 2**53 - 1


class OutputError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def to_json(value, limits):
    text = "".join(_Writer(limits).write(value, "$"))
    return text


class _Writer:
    def __init__(self, limits):
        self._bytes_max = limits["outputBytesMax"]
        self._depth_max = limits["outputDepthMax"]
        self._bytes = 0
        self._parents = []

    def write(self, value, path):
        if value is None or value is True or value is False:
            yield self._count({None: "null", True: "true", False: "false"}[value])
        elif type(value) is str or isinstance(value, str):
            self._count(value)
            yield dumps(str(value), ensure_ascii=False) if value.isascii() else _quote(str(value))
        elif isinstance(value, int):
            if abs(value) > SAFE_INTEGER_MAX:
                self._refuse(path, "a whole number beyond 2**53 - 1 (use a string)")
            yield self._count(str(int(value)))
        elif isinstance(value, float):
            if not math.isfinite(value):
                self._refuse(path, {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN"))
            yield self._count(_number(float(value)))
        elif isinstance(value, (list, tuple)):
            yield from self._nested(value, path, self._array)
        elif isinstance(value, dict):
            yield from self._nested(value, path, self._object)
        else:
            self._refuse(path, _kind_of(value))

    def _nested(self, value, path, write):
        if any(parent is value for parent in self._parents):
            self._refuse(path, "a cycle")
        if len(self._parents) >= self._depth_max:
            raise OutputError("ERR_LIMIT_OUTPUT", f"Cannot return the output: it is nested deeper than {self._depth_max}")
        self._parents.append(value)
        yield from write(value, path)
        self._parents.pop()

    def _array(self, items, path):
        yield self._count("[")
        for i, item in enumerate(items):
            if i > 0:
                yield self._count(",")
            yield from self.write(item, f"{path}[{i}]")
        yield self._count("]")

    def _object(self, value, path):
        yield self._count("{")
        for i, (key, item) in enumerate(value.items()):
            if not isinstance(key, str):
                self._refuse(path, f"a dict with a key of type {type(key).__name__}")
            if i > 0:
                yield self._count(",")
            yield self._count(_quote(str(key)) + ":")
            yield from self.write(item, f"{path}.{key}" if key.isidentifier() else f"{path}[{dumps(key[:60])}]")
        yield self._count("}")

    def _count(self, text):
        self._bytes += len(text)
        if self._bytes > self._bytes_max:
            raise OutputError("ERR_LIMIT_OUTPUT", f"Cannot return the output: it has more than {self._bytes_max} bytes of JSON")
        return text

    def _refuse(self, path, what):
        raise OutputError("ERR_OUTPUT_NOT_JSON", f"Cannot return the output: {path} is {what}, which JSON cannot hold")


def _quote(text):
    # A lone surrogate has no UTF-8 form, so such a string is written with escapes.
    try:
        text.encode()
    except UnicodeEncodeError:
        return dumps(text)
    return dumps(text, ensure_ascii=False)


def _number(value):
    """As JavaScript writes it: 1.0 is 1, so that both languages give the same text for the same value."""
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def _kind_of(value):
    name = type(value).__name__
    if name in ("datetime", "date", "time"):
        return f"a {name} (use isoformat())"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "a block of bytes (use base64)"
    if isinstance(value, (set, frozenset)):
        return f"a {name} (use a list)"
    return f"a {name}"
