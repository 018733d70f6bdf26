"""The standard streams. Nothing is kept back in the interpreter, so what was printed before a sudden end is told too."""

import io
import sys


def install():
    sys.stdout = sys.__stdout__ = _unbuffered(1, "strict")
    sys.stderr = sys.__stderr__ = _unbuffered(2, "backslashreplace")


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # A step may have closed or replaced its streams.
            pass


def _unbuffered(descriptor, errors):
    raw = io.FileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, newline="\n", write_through=True)
