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


def _open(request):
    import _stepvault_host as host

    headers = dict(request.unredirected_hdrs)
    headers.update({name: value for name, value in request.headers.items() if name not in headers})
    asked = {
        "method": request.get_method(),
        "url": request.full_url,
        "headers": [[name, str(value)] for name, value in headers.items()],
        "redirect": "manual",
    }
    if isinstance(request.timeout, (int, float)):
        asked["timeoutMs"] = max(1, request.timeout * 1000)
    body = _body_of(request.data)
    if body is not None:
        asked["body"] = base64.b64encode(body).decode()
    answer = json.loads(host.request(json.dumps(asked)))
    if "response" not in answer:
        error = answer.get("error", {})
        if error.get("message", "").endswith("it timed out"):
            raise urllib.error.URLError(TimeoutError("timed out"))
        raise urllib.error.URLError(f"{error.get('message', 'the request failed')} [{error.get('code', 'ERR_EGRESS_FAILED')}]")
    return _to_response(answer["response"])


def _body_of(data):
    if data is None or isinstance(data, (bytes, bytearray)):
        return data
    if hasattr(data, "read"):
        return data.read()
    return b"".join(data)


def _to_response(answer):
    text = "".join(f"{name}: {value}\r\n" for name, value in answer["headers"])
    headers = email.parser.Parser(_class=http.client.HTTPMessage).parsestr(text)
    response = urllib.response.addinfourl(io.BytesIO(base64.b64decode(answer["body"])), headers, answer["url"], answer["status"])
    response.msg = answer["statusText"]
    response.reason = answer["statusText"]
    return response
