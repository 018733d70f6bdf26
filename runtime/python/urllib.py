"""urllib.request over the bridge. It opens connections by http.client, whose socket is ours, so nearly all of it is the
standard library's own: redirects, errors, authentication, handlers, responses.

A socket of ours fails when the answer is read, and not when it is opened; users of urllib expect a URLError then too.
"""

import io
import urllib.error
import urllib.request

import pyodide.http


def install():
    handler = urllib.request.AbstractHTTPHandler
    handler.do_open = _with_url_error(handler.do_open)
    pyodide.http.open_url = open_url


def _with_url_error(do_open):
    def open_or_tell(self, http_class, request, **arguments):
        try:
            return do_open(self, http_class, request, **arguments)
        except urllib.error.URLError:
            raise
        except OSError as error:
            raise urllib.error.URLError(error) from None

    return open_or_tell


def open_url(url):
    """pyodide.http.open_url, which asks a browser for what it does: the text of a page, as a file."""
    with urllib.request.urlopen(url) as response:
        return io.StringIO(response.read().decode(response.headers.get_content_charset() or "utf-8", "replace"))
