"""Runs one step: binds its references, awaits its body, and tells how it ended as JSON text.

Lives in the interpreter's memory snapshot as `_stepvault_runner`. Everything here shares one interpreter with the step,
so it protects nothing; what it says to the host is data, checked there. Lines and columns are the user's: the step is
compiled from its own syntax tree under the file name step.py, and tracebacks keep only frames of that file.
"""

import builtins
import io
import json
import linecache
import logging
import random
import sys
import time
import traceback

import _stepvault_binding as binding
import _stepvault_output as output
import _stepvault_urllib as urllib_bridge

STEP_FILE = "step.py"
STEP_FUNCTION = "step"
SCOPE_NAMES = ("params", "steps", "inputs")
FRAMES_MAX = 20
MESSAGE_CHARS_MAX = 10_000

_source = ""


def restore():
    """Joins a restored interpreter to this run: fresh randomness, live streams, real sleeping, requests."""
    import _stepvault_host as host

    random.seed()
    sys.stdout = sys.__stdout__ = _unbuffered(1, "strict")
    sys.stderr = sys.__stderr__ = _unbuffered(2, "backslashreplace")
    time.sleep = _sleeper(host)
    urllib_bridge.install(host)
    root = logging.getLogger()
    root.handlers[:] = [_HostHandler(host)]
    root.setLevel(logging.INFO)


def _unbuffered(descriptor, errors):
    """Nothing is kept back in the interpreter, so that what was printed before a sudden end is told too."""
    raw = io.FileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, newline="\n", write_through=True)


def prepare(source):
    """JSON: {"references": [{name, line, column}]} or {"error": {code, message, line, column}}. Runs no step code."""
    global _source
    _source = source
    return json.dumps(binding.analyze(source))


async def execute(execute_json, limits_json):
    """JSON: {"output": JSON text} or {"error": {...}}."""
    message = json.loads(execute_json)
    limits = json.loads(limits_json)
    source = _source
    linecache.cache[STEP_FILE] = (len(source), None, source.splitlines(keepends=True), STEP_FILE)
    # Parameters and not globals, so that a step may assign to them like to any other local name.
    bound = binding.bind(source, dict(message["values"]), STEP_FILE, STEP_FUNCTION, SCOPE_NAMES)
    if "error" in bound:
        return json.dumps(bound)
    scope = {"__name__": "__main__", "__builtins__": builtins}
    try:
        exec(bound["code"], scope)
        returned = await scope.pop(STEP_FUNCTION)(*(message[name] for name in SCOPE_NAMES))
        result = {"output": output.to_json(returned, limits)}
    except output.OutputError as error:
        result = {"error": {"code": error.code, "message": str(error)}}
    except BaseException as error:  # SystemExit and KeyboardInterrupt end a step like any other error.
        result = {"error": describe(error, limits)}
    _flush()
    return json.dumps(result)


def describe(error, limits):
    """What the step raised, as the run's error: the user's frames only, and where the innermost of them is."""
    if isinstance(error, SystemExit):
        status = f"status {error.code}" if isinstance(error.code, int) else str(error.code or "status 0")
        return {"code": "ERR_STEP_EXITED", "message": f"Cannot go on: the step called sys.exit: {status}"}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == STEP_FILE][-FRAMES_MAX:]
    name = type(error).__name__
    text = _text_of(error)
    if isinstance(error, MemoryError):
        allowed = limits["memoryBytesMax"]
        described = {"code": "ERR_LIMIT_MEMORY", "message": f"Cannot go on: MemoryError; at most {allowed} bytes are allowed (memoryBytesMax)"}
    else:
        described = {"code": "ERR_STEP_THREW", "message": f"{name}: {text}" if text else name}
    if frames:
        described["stack"] = "".join(traceback.format_list(frames)).rstrip()
        described["line"] = frames[-1].lineno
        described["column"] = _column_of(frames[-1])
    return described


def _text_of(error):
    try:
        return str(error)[:MESSAGE_CHARS_MAX]
    except BaseException:  # The step's own __str__ may raise anything.
        return ""


def _column_of(frame):
    """1-based, in UTF-16 units, as JavaScript counts; the frame counts UTF-8 bytes."""
    line = linecache.getline(STEP_FILE, frame.lineno).encode()
    before = line[: frame.colno or 0].decode(errors="replace")
    return len(before.encode("utf-16-le", errors="replace")) // 2 + 1


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # A step may have closed or replaced its streams.
            pass


def _sleeper(host):
    def sleep(seconds, /):
        if not isinstance(seconds, (int, float)):
            seconds = float(seconds)
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        _flush()
        host.sleep(seconds * 1000)

    return sleep


class _HostHandler(logging.Handler):
    """Each record becomes one structured log entry."""

    _standard = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}

    def __init__(self, host):
        super().__init__()
        self._host = host

    def emit(self, record):
        try:
            level = "error" if record.levelno >= 40 else "warn" if record.levelno >= 30 else "info" if record.levelno >= 20 else "debug"
            extra = {key: value for key, value in record.__dict__.items() if key not in self._standard}
            fields = {"logger": record.name, **extra}
            try:
                text = json.dumps(fields, default=repr, allow_nan=False)
            except (TypeError, ValueError):  # NaN, cycles, keys that are no strings.
                text = json.dumps({str(key): repr(value) for key, value in fields.items()})
            self._host.log(level, self.format(record), text)
        except Exception:
            self.handleError(record)
