"""The logging module: each record becomes one structured log entry of the run.

`logging.basicConfig` adds a handler only where there is none, so with ours in place it would do nothing. Here it sets
level and format of ours, and puts others in its place when the step asks for a stream, a file or handlers of its own.
"""

import json
import logging

_standard_fields = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


def install():
    root = logging.getLogger()
    ours = _HostHandler()
    root.handlers[:] = [ours]
    root.setLevel(logging.INFO)
    plain = logging.basicConfig

    def basicConfig(**options):
        elsewhere = any(options.get(name) is not None for name in ("stream", "filename", "handlers"))
        if root.handlers != [ours]:
            return plain(**options)
        if elsewhere:
            root.removeHandler(ours)
            return plain(**options)
        root.removeHandler(ours)
        try:
            return plain(**{**options, "handlers": [ours]})
        finally:
            if ours not in root.handlers:
                root.addHandler(ours)

    basicConfig.__doc__ = plain.__doc__
    logging.basicConfig = basicConfig


def restart(now_ns):
    """What `relativeCreated` counts from."""
    logging._startTime = now_ns


class _HostHandler(logging.Handler):
    def setFormatter(self, formatter):
        # The format that basicConfig takes when none is asked for repeats the level and the logger, which are fields.
        super().setFormatter(None if formatter is not None and formatter._fmt == logging.BASIC_FORMAT else formatter)

    def emit(self, record):
        try:
            import _stepvault_host as host

            level = "error" if record.levelno >= 40 else "warn" if record.levelno >= 30 else "info" if record.levelno >= 20 else "debug"
            extra = {key: value for key, value in record.__dict__.items() if key not in _standard_fields}
            fields = {"logger": record.name, **extra}
            try:
                text = json.dumps(fields, default=repr, allow_nan=False)
            except (TypeError, ValueError):  # NaN, cycles, keys that are no strings.
                text = json.dumps({str(key): repr(value) for key, value in fields.items()})
            host.log(level, self.format(record), text)
        except Exception:
            self.handleError(record)
