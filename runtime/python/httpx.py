"""httpx's transports over the bridge, in the place of its module `_transports.default`: they need neither httpcore nor
sockets. Runs when a step imports httpx, and has what it needs from there.

A Client blocks, on the calls of the standard library's clients. An AsyncClient awaits the isolate's `fetch`, so requests
go side by side; `fetch` sends no body with GET and HEAD. Pools, HTTP/2 and retries of connections are the broker's
affair, so what a step wishes of them has no effect.
"""

import asyncio
import os
import ssl

import _stepvault_bridge as bridge
import _stepvault_httpclient as http_bridge
from httpx._exceptions import ConnectError, ConnectTimeout, LocalProtocolError, ReadError, ReadTimeout
from httpx._exceptions import UnsupportedProtocol
from httpx._models import Response
from httpx._transports.base import AsyncBaseTransport, BaseTransport
from httpx._types import AsyncByteStream, SyncByteStream
from js import AbortController, Object, fetch
from pyodide.ffi import JsException, to_js

__all__ = ["AsyncHTTPTransport", "HTTPTransport"]


class HTTPTransport(BaseTransport):
    def __init__(self, verify=True, cert=None, **wishes):
        _check_wishes(verify, cert, wishes)

    def handle_request(self, request):
        url = _url_of(request)
        headers, body = _headers_of(request), b"".join(request.stream)
        try:
            answer = bridge.ask(request.method, url, headers, body, _timeout_of(request))
        except OSError as error:
            raise _not_begun(error) from None
        return _response(answer.status, answer.reason, answer.headers, ResponseStream(answer))


class ResponseStream(SyncByteStream):
    def __init__(self, answer):
        self._answer = answer

    def __iter__(self):
        try:
            while part := self._answer.read_part():
                yield part
        except OSError as error:
            raise _broken_off(error) from None

    def close(self):
        self._answer.close()


class AsyncHTTPTransport(AsyncBaseTransport):
    def __init__(self, verify=True, cert=None, **wishes):
        _check_wishes(verify, cert, wishes)

    async def handle_async_request(self, request):
        url = _url_of(request)
        body = b"".join([part async for part in request.stream])
        if body and request.method in ("GET", "HEAD"):
            raise LocalProtocolError(f"an AsyncClient sends no body with {request.method} here; a Client does")
        controller = AbortController.new()
        asked = {
            "method": request.method,
            "headers": _headers_of(request),
            "redirect": "manual",
            "signal": controller.signal,
            **({"body": body} if body else {}),
        }
        timeout = _timeout_of(request)
        try:
            answer = await _within(timeout, fetch(url, to_js(asked, dict_converter=Object.fromEntries)), controller)
        except OSError as error:
            raise _not_begun(error) from None
        stream = AsyncResponseStream(answer.body, controller, timeout)
        return _response(answer.status, answer.statusText, answer.headers, stream)


class AsyncResponseStream(AsyncByteStream):
    def __init__(self, body, controller, timeout):
        self._body, self._controller, self._timeout = body, controller, timeout

    async def __aiter__(self):
        if not self._body:
            return
        reader = self._body.getReader()
        try:
            while True:
                read = await _within(self._timeout, reader.read(), self._controller)
                if read.done:
                    break
                yield read.value.to_bytes()
        except OSError as error:
            raise _broken_off(error) from None

    async def aclose(self):
        # Without effect on an answer that has ended.
        self._controller.abort()


async def _within(seconds, promise, controller):
    """What a promise of the request gives; without it, the request ends. Raises OSError."""
    try:
        async with asyncio.timeout(seconds):
            return await promise
    except JsException as error:
        raise _failure_of(error) from None
    except TimeoutError:
        controller.abort()
        raise TimeoutError(f"timed out after {seconds} s") from None
    except BaseException:
        controller.abort()
        raise


def _failure_of(error):
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        return ConnectionError(error.message)
    return bridge.failure_of({"code": code, "message": error.message})


def _not_begun(error):
    if isinstance(error, TimeoutError):
        return (ConnectTimeout if "no connection" in str(error) else ReadTimeout)(str(error))
    return ConnectError(str(error))


def _broken_off(error):
    return (ReadTimeout if isinstance(error, TimeoutError) else ReadError)(str(error))


def _check_wishes(verify, cert, wishes):
    if wishes.get("proxy") or wishes.get("uds"):
        raise http_bridge.no_proxy()
    if cert:
        http_bridge.refuse_client_certificate()
    if isinstance(verify, (str, os.PathLike)):
        http_bridge.check_authorities(verify)
    if isinstance(verify, ssl.SSLContext):
        http_bridge.check_context(verify)


def _url_of(request):
    """Without the user and password that a URL may hold: httpx has made a header of them."""
    url = request.url
    if url.scheme not in ("http", "https"):
        raise UnsupportedProtocol(f"Request URL has no protocol of http or https: {url.scheme!r}")
    if request.extensions.get("sni_hostname"):
        http_bridge.refuse_other_name()
    host = url.raw_host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{host}{port}{url.raw_path.decode('ascii')}"


def _headers_of(request):
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw]
    return [pair for pair in headers if pair[0].lower() not in http_bridge.dropped_of_request]


def _timeout_of(request):
    return request.extensions.get("timeout", {}).get("read")


def _response(status, reason, headers, stream):
    return Response(
        status_code=status,
        headers=[(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers],
        stream=stream,
        extensions={"http_version": b"HTTP/1.1", "reason_phrase": reason.encode("latin-1", "replace")},
    )


# The names of these in Pyodide's own build of httpx.
JavascriptFetchTransport = HTTPTransport
AsyncJavascriptFetchTransport = AsyncHTTPTransport
