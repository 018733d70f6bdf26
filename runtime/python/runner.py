"""Runs one step: binds its references, awaits its body, and tells how it ended as JSON text.

Lives in the interpreter's memory snapshot as `_stepvault_runner`. Everything here shares one interpreter with the step,
so it protects nothing; what it says to the host is data, checked there. Lines and columns are the user's: the step is
compiled from its own syntax tree under the file name step.py, and tracebacks keep only frames of that file.
"""

import builtins
import linecache
import random
import sys
import time
from json import dumps, loads

import _stepvault_binding as binding
import _stepvault_errors as errors
import _stepvault_httpclient as http_bridge
import _stepvault_logs as logs
import _stepvault_output as output
import _stepvault_streams as streams
import _stepvault_system as system
import _stepvault_urllib as urllib_bridge

STEP_FILE = errors.STEP_FILE
STEP_FUNCTION = "step"
SCOPE_NAMES = ("params", "steps", "inputs")

_source = ""


def install():
    """Once, before the snapshot is taken: all that needs neither the clock nor chance nor the host."""
    streams.install()
    system.install(streams.flush)
    urllib_bridge.install()
    http_bridge.install()
    logs.install()


def restore():
    """Joins a restored interpreter to this run. The snapshot holds the state of `random` and the time it was made at."""
    random.seed()
    # Pyodide puts the working directory first at each of its starts, and this is its second.
    sys.path[:] = dict.fromkeys(sys.path)
    logs.restart(time.time_ns())


async def warm_up():
    """
    Does once what every step does, so that V8 has compiled the interpreter's part in it before a step waits for it. A run
    may begin before this does: it leaves alone what belongs to one.
    """
    source = 'value = {"a": [1, <<secrets.k>>]}\nreturn [f"{value}"]'
    dumps(errors.describe_unread(source, binding.analyze(source)))
    message = {"values": [["k", ""]], **{name: {} for name in SCOPE_NAMES}}
    await _result_of(source, message, {"outputBytesMax": 1_000, "outputDepthMax": 10})


def prepare(source):
    """JSON: {"references": [{name, line, column}]} or {"error": {code, message, line, column}}. Runs no step code."""
    global _source
    _source = source
    return dumps(errors.describe_unread(source, binding.analyze(source)))


async def execute(execute_json, limits_json):
    """JSON: {"output": JSON text} or {"error": {...}}."""
    message, limits = loads(execute_json), loads(limits_json)
    source = _source
    linecache.cache[STEP_FILE] = (len(source), None, source.splitlines(keepends=True), STEP_FILE)
    result = await _result_of(source, message, limits)
    streams.flush()
    return result


async def _result_of(source, message, limits):
    """Binds and calls a step; what execute gives, of which what the step printed is not a part."""
    # Parameters and not globals, so that a step may assign to them like to any other local name.
    bound = binding.bind(source, dict(message["values"]), STEP_FILE, STEP_FUNCTION, SCOPE_NAMES)
    if "error" in bound:
        return dumps(errors.describe_unread(source, bound))
    scope = {"__name__": "__main__", "__builtins__": builtins}
    try:
        exec(bound["code"], scope)
        returned = await scope.pop(STEP_FUNCTION)(*(message[name] for name in SCOPE_NAMES))
        result = {"output": output.to_json(returned, limits)}
    except output.OutputError as error:
        result = {"error": {"code": error.code, "message": str(error)}}
    except BaseException as error:  # SystemExit and KeyboardInterrupt end a step like any other error.
        result = {"error": errors.describe(error, limits)}
    return dumps(result)
