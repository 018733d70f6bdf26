"""One request over the bridge to the egress broker, blocking as Python code expects, and its answer as it arrives.

What Python's network clients are built on here. Follows no redirect: each client has its own rules for that, and each
hop passes the broker's checks anew. What goes wrong is an OSError with the broker's message and code.
"""

import base64
import json


class Answer:
    """What came back: the head as attributes, the body in the parts in which it arrives."""

    def __init__(self, part):
        head = part["head"]
        self.status, self.reason, self.headers = head["status"], head["statusText"], head["headers"]
        self._id = part["id"]
        self._failure = None
        self._take(part)

    def read_part(self):
        """The next bytes of the body, as soon as there are some; none at its end. Raises what broke it off."""
        import _stepvault_host as host

        while not self._data and not self._ended:
            part = json.loads(host.read(self._id))
            self._failure = failure_of(part.get("error"))
            self._take(part)
        if not self._data and self._failure is not None:
            raise self._failure
        data, self._data = self._data, b""
        return data

    def close(self):
        """Without its end, the rest is not wanted: the broker closes the connection."""
        import _stepvault_host as host

        if not self._ended:
            self._ended = True
            host.abort(self._id)

    def _take(self, part):
        self._data, self._ended = base64.b64decode(part.get("data", "")), part["ended"]


def ask(method, url, headers, body, timeout):
    """One request: the answer with the beginning of its body. `timeout` is for the head and between parts, in seconds."""
    import _stepvault_host as host

    asked = {"method": method, "url": url, "headers": headers, "redirect": "manual"}
    if isinstance(timeout, (int, float)):
        asked["timeoutMs"] = max(1, timeout * 1000)
    if body:
        asked["body"] = base64.b64encode(body).decode()
    part = json.loads(host.request(json.dumps(asked)))
    failure = failure_of(part.get("error"))
    if failure is not None:
        raise failure
    if "head" not in part:
        raise ConnectionError("the run is over")
    return Answer(part)


def failure_of(error):
    """The broker's error, {code, message}, as Python's; None for None."""
    if error is None:
        return None
    kind = TimeoutError if "it timed out" in error["message"] else ConnectionError
    return kind(f"{error['message']} [{error['code']}]")
