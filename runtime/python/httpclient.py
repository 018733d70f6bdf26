"""http.client over the bridge, and what builds on it: a connection whose socket is one request and its answer.

The request is written as it would be on a wire and read back here, and the answer is written as on a wire too, so that
everything of http.client around a socket stays the standard library's own. Nothing is kept open between two requests.

TLS is the broker's, which always checks certificates, against the operator's authorities. A step's wish for less has no
effect; a wish for more, which it would not get, is an SSLError.
"""

import http.client
import io
import os
import re
import socket
import ssl
import sysconfig

import _stepvault_bridge as bridge

dropped_of_request = ("host", "content-length", "transfer-encoding", "connection")
_dropped_of_answer = ("transfer-encoding", "connection", "keep-alive")


def install():
    http.client.HTTPConnection.connect = lambda self: connect(self, "http")
    http.client.HTTPSConnection.connect = lambda self: connect(self, "https")
    ssl.SSLContext.load_cert_chain = refuse_client_certificate
    ssl.SSLContext.load_verify_locations = _load_verify_locations


def connect(connection, scheme):
    """Gives a connection of http.client its socket."""
    if connection._tunnel_host:
        raise no_proxy()
    if scheme == "https":
        check_context(getattr(connection, "_context", None))
    connection.sock = _Exchange(connection, scheme)


def no_proxy():
    return OSError("a step cannot reach the network through a proxy of its own")


def refuse_client_certificate(*arguments, **options):
    raise ssl.SSLError(1, "a step cannot present a client certificate: TLS is done by the broker")


def check_authorities(cafile=None, capath=None, cadata=None):
    """The public ones may be named, which packages do unasked: by their own copy, or by where a system has them."""
    public = (os.path.realpath(sysconfig.get_paths()["purelib"]) + "/", "/etc/ssl/certs/")
    given = [os.path.realpath(os.fsdecode(path)) + "/" for path in (cafile, capath) if path]
    if cadata or not all(path.startswith(public) for path in given):
        raise ssl.SSLError(1, "a step cannot choose certificate authorities: TLS is done by the broker")


def check_context(context):
    versions = ssl.TLSVersion
    if context is not None and context.minimum_version in (versions.TLSv1_3, versions.MAXIMUM_SUPPORTED):
        raise ssl.SSLError(1, "a step cannot demand more than TLS 1.2: TLS is done by the broker")


def refuse_other_name():
    raise ssl.SSLError(1, "a step cannot choose how a server's name is checked: TLS is done by the broker")


def _load_verify_locations(self, cafile=None, capath=None, cadata=None):
    if cafile is None and capath is None and cadata is None:
        raise TypeError("cafile, capath and cadata cannot be all omitted")
    check_authorities(cafile, capath, cadata)


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
        return io.BufferedReader(_Wire(lambda: _ask(self._origin, sent, self._timeout)))

    def close(self):
        pass

    def shutdown(self, how):
        pass


class _Wire(io.RawIOBase):
    """
    The head as it would stand on a wire, then the body as it arrives, in chunks unless its length is known: for these
    http.client and urllib3 wait no longer than for what has arrived. Asks when it is first read, since http.client
    expects that opening the file cannot fail, and that reading can.
    """

    def __init__(self, ask):
        self._ask = ask
        self._answer = None
        self._chunked = False
        self._last = b"0\r\n\r\n"
        self._piece = memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._piece:
            self._piece = memoryview(self._next_piece())
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def _next_piece(self):
        if self._answer is None:
            self._answer = self._ask()
            head, self._chunked = _head_of(self._answer)
            return head
        part = self._answer.read_part()
        if not self._chunked:
            return part
        if part:
            return b"%x\r\n%b\r\n" % (len(part), part)
        last, self._last = self._last, b""
        return last

    def close(self):
        if self._answer is not None:
            self._answer.close()
        super().close()


def _ask(origin, sent, timeout):
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    if re.match(r"[a-z]+://", target, re.IGNORECASE):
        raise no_proxy()
    headers = [[name, value.strip()] for name, _, value in (line.partition(":") for line in lines)]
    if any(name.lower() == "transfer-encoding" and "chunked" in value for name, value in headers):
        body = _unchunked(body)
    return bridge.ask(
        method=method,
        url=origin + target,
        headers=[pair for pair in headers if pair[0].lower() not in dropped_of_request],
        body=body,
        timeout=socket.getdefaulttimeout() if timeout is socket._GLOBAL_DEFAULT_TIMEOUT else timeout,
    )


def _head_of(answer):
    """The head, and whether the body follows in chunks."""
    told = [(name, value) for name, value in answer.headers if name.lower() not in _dropped_of_answer]
    chunked = all(name.lower() != "content-length" for name, _ in told)
    told += [("transfer-encoding", "chunked")] if chunked else []
    told.append(("connection", "close"))
    head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told)
    return (head + "\r\n").encode("latin-1", "replace"), chunked


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
