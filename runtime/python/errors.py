"""What a step raised, as the run's error: the text that CPython would print, without any frame but the step's own.

An exception may be written to hurt: its `__str__` may raise, loop (the run's limits end that) or give what is no string,
its notes and causes may be anything. Whatever goes wrong here, the step still ends with an error of its own.
"""

import linecache
import traceback

STEP_FILE = "step.py"
_FRAMES_MAX = 20
_CAUSES_MAX = 10
_MESSAGE_CHARS_MAX = 10_000
_STACK_CHARS_MAX = 60_000


def describe(error, limits):
    if issubclass(type(error), SystemExit):
        return {"code": "ERR_STEP_EXITED", "message": f"Cannot go on: the step called sys.exit: {_status_of(error)}"}
    if issubclass(type(error), MemoryError):
        allowed = limits["memoryBytesMax"]
        message = f"Cannot go on: MemoryError; at most {allowed} bytes are allowed (memoryBytesMax)"
        described = {"code": "ERR_LIMIT_MEMORY", "message": message}
    else:
        described = {"code": "ERR_STEP_THREW", "message": _message_of(error)}
    try:
        described.update(_place_of(error))
        described["stack"] = _stack_of(error)
    except BaseException:  # The step's own classes may raise anything; without a stack the error is still told.
        pass
    return described


def describe_unread(source, report):
    """The report of a step that does not parse, with its line under it as CPython shows it."""
    error = report.get("error", {})
    if error.get("code") != "ERR_STEP_SYNTAX" or "line" not in error:
        return report
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    line = lines[error["line"] - 1] if error["line"] <= len(lines) else ""
    # The column counts UTF-16 units, the marker stands under a character.
    before = line.encode("utf-16-le", "surrogatepass")[: 2 * (error["column"] - 1)].decode("utf-16-le", "replace")
    shown = line.lstrip()
    marker = " " * max(0, len(before) - (len(line) - len(shown))) + "^"
    reason = error["message"].partition(": ")[2]
    stack = f'  File "{STEP_FILE}", line {error["line"]}\n    {shown}\n    {marker}\nSyntaxError: {reason}'
    return {"error": {**error, "stack": stack[:_STACK_CHARS_MAX]}}


def _status_of(error):
    try:
        status = error.code
        return f"status {status or 0}" if status is None or type(status) is int else _text_of(status)
    except BaseException:
        return "status unknown"


def _message_of(error):
    # Not type(error).__name__: a metaclass may answer that with code of its own.
    name, text = type.__dict__["__name__"].__get__(type(error)), _text_of(error)
    return f"{name}: {text}" if text else name


def _text_of(value):
    try:
        return str(value)[:_MESSAGE_CHARS_MAX]
    except BaseException:
        return ""


def _place_of(error):
    """Line and column of the innermost frame that is the step's. Columns are from 1 and in UTF-16 units."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == STEP_FILE]
    if not frames:
        return {}
    line = linecache.getline(STEP_FILE, frames[-1].lineno).encode()
    before = line[: frames[-1].colno or 0].decode(errors="replace")
    return {"line": frames[-1].lineno, "column": len(before.encode("utf-16-le", errors="replace")) // 2 + 1}


def _stack_of(error):
    told = traceback.TracebackException.from_exception(error, compact=True)
    _keep_own_frames(told, set(), _CAUSES_MAX)
    return "".join(told.format())[:_STACK_CHARS_MAX].rstrip()


def _keep_own_frames(told, seen, depth):
    """Of this error, those that it came from and those that it holds."""
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    own = [frame for frame in told.stack if frame.filename == STEP_FILE]
    # Of a deep recursion its beginning and its end; the formatter folds what is alike.
    if len(own) > _FRAMES_MAX and len({frame.lineno for frame in own}) > _FRAMES_MAX:
        own = own[-_FRAMES_MAX:]
    told.stack[:] = own
    # A class of the step is local to the function that the step is the body of.
    if isinstance(told.exc_type_qualname, str):
        told.exc_type_qualname = told.exc_type_qualname.removeprefix("step.<locals>.")
    if depth == 0:
        told.__cause__ = told.__context__ = None
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        _keep_own_frames(other, seen, depth - 1)
