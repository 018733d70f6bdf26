"""http.client over the bridge, and what builds on it: a connection whose socket is one request and its answer.

The request is written as it would be on a wire and read back here, so that everything of http.client that comes before
a socket stays the standard library's own. Each request passes the broker's checks; nothing is kept open between two.
"""

import http.client
import io

import _stepvault_urllib as bridge

_dropped_of_request = ("host", "content-length", "transfer-encoding", "connection")
_dropped_of_answer = ("content-length", "transfer-encoding", "connection")


def install():
    http.client.HTTPConnection.connect = lambda self: _connect(self, "http")
    http.client.HTTPSConnection.connect = lambda self: _connect(self, "https")


def _connect(connection, scheme):
    if connection._tunnel_host:
        raise OSError("a step cannot reach the network through a proxy of its own")
    connection.sock = _Exchange(connection, scheme)


class _Exchange:
    """Looks like a socket to http.client: takes a request, gives the file from which the answer is read."""

    def __init__(self, connection, scheme):
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        self._origin = f"{scheme}://{host}:{connection.port}"
        self._timeout = connection.timeout
        self._sent = bytearray()

    def sendall(self, data):
        self._sent += data

    def settimeout(self, seconds):
        self._timeout = seconds

    def makefile(self, mode="rb", *arguments):
        sent, self._sent = bytes(self._sent), bytearray()
        return io.BufferedReader(_Answer(lambda: _ask(self._origin, sent, self._timeout)))

    def close(self):
        pass

    def shutdown(self, how):
        pass


class _Answer(io.RawIOBase):
    """Asks when it is first read: http.client expects that opening the file cannot fail, and that reading can."""

    def __init__(self, ask):
        self._ask = ask
        self._file = None

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._file is None:
            self._file = io.BytesIO(self._ask())
        return self._file.readinto(buffer)


def _ask(origin, sent, timeout):
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]
    if any(name.lower() == "transfer-encoding" and "chunked" in value for name, value in headers):
        body = _unchunked(body)
    answer = bridge.ask(
        method=method,
        url=origin + target,
        headers=[pair for pair in headers if pair[0].lower() not in _dropped_of_request],
        body=body or None,
        timeout=timeout,
    )
    content = answer["content"]
    told = [(name, value) for name, value in answer["headers"] if name.lower() not in _dropped_of_answer]
    if method != "HEAD":
        told.append(("content-length", str(len(content))))
    status = f"HTTP/1.1 {answer['status']} {answer['statusText']}\r\n"
    return (status + "".join(f"{name}: {value}\r\n" for name, value in told) + "\r\n").encode("latin-1", "replace") + content


def _unchunked(body):
    whole = bytearray()
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            break
        whole += rest[:length]
        body = rest[length + 2 :]
    return bytes(whole)
