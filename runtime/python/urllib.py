"""urllib.request over the bridge: the same API, answered by the egress broker, blocking as Python code expects.

Replaces only how http and https are opened, so redirects, errors, authentication handlers and build_opener keep the
standard library's own behaviour, and each hop of a redirect passes the broker's checks again.
"""

import base64
import email.parser
import http.client
import io
import json
import urllib.error
import urllib.request
import urllib.response

import pyodide.http


class _BridgeHandler(urllib.request.HTTPHandler):
    """Also a handler for https, so that build_opener puts it in the place of both."""

    def http_open(self, request):
        return _open(request)

    def https_open(self, request):
        return _open(request)

    https_request = urllib.request.AbstractHTTPHandler.do_request_


def install():
    urllib.request.HTTPHandler = _BridgeHandler
    urllib.request.HTTPSHandler = _BridgeHandler
    urllib.request.install_opener(None)
    pyodide.http.open_url = open_url


def open_url(url):
    """pyodide.http.open_url, which asks a browser for what it does: the text of a page, as a file."""
    with urllib.request.urlopen(url) as response:
        return io.StringIO(response.read().decode(response.headers.get_content_charset() or "utf-8", "replace"))


def _open(request):
    headers = dict(request.unredirected_hdrs)
    headers.update({name: value for name, value in request.headers.items() if name not in headers})
    try:
        answer = ask(
            method=request.get_method(),
            url=request.full_url,
            headers=[[name, str(value)] for name, value in headers.items()],
            body=_body_of(request.data),
            timeout=request.timeout,
        )
    except TimeoutError as error:
        raise urllib.error.URLError(error) from None
    except OSError as error:
        raise urllib.error.URLError(str(error)) from None
    return _to_response(answer)


def ask(method, url, headers, body, timeout):
    """One request, without following redirects. Raises OSError with the broker's message and code, or TimeoutError."""
    import _stepvault_host as host

    asked = {"method": method, "url": url, "headers": headers, "redirect": "manual"}
    if isinstance(timeout, (int, float)):
        asked["timeoutMs"] = max(1, timeout * 1000)
    if body is not None:
        asked["body"] = base64.b64encode(body).decode()
    answer = json.loads(host.request(json.dumps(asked)))
    if "response" not in answer:
        error = answer.get("error", {})
        if error.get("message", "").endswith("it timed out"):
            raise TimeoutError("timed out")
        raise OSError(f"{error.get('message', 'the request failed')} [{error.get('code', 'ERR_EGRESS_FAILED')}]")
    response = answer["response"]
    return {**response, "content": base64.b64decode(response["body"])}


def _body_of(data):
    if data is None or isinstance(data, (bytes, bytearray)):
        return data
    if hasattr(data, "read"):
        return data.read()
    return b"".join(data)


def _to_response(answer):
    text = "".join(f"{name}: {value}\r\n" for name, value in answer["headers"])
    headers = email.parser.Parser(_class=http.client.HTTPMessage).parsestr(text)
    response = urllib.response.addinfourl(io.BytesIO(answer["content"]), headers, answer["url"], answer["status"])
    response.msg = answer["statusText"]
    response.reason = answer["statusText"]
    return response
