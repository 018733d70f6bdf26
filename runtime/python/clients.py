"""The packages requests, urllib3 and httpx over the bridge, where the operator has installed them. They know nothing of
it, so the one module of theirs that opens connections is changed, or replaced, while a step imports it; the rest, and the
files, stay as they were locked.

urllib3 is built on http.client, so a connection of it needs the socket that httpclient.py gives; versions 1.26 and 2 are
alike in that. httpx gets transports of ours (httpx.py) in the place of those over httpcore.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys

import _stepvault_httpclient as http_bridge


def install(httpx_transports):
    """`httpx_transports`: the compiled httpx.py."""

    def run_transports(module):
        exec(httpx_transports, module.__dict__)

    replaced = {
        "httpx._transports.default": run_transports,
        # Pyodide's own build of httpx looks here.
        "httpx._transports.jsfetch": run_transports,
        # urllib3 2 imports this in WebAssembly, to have its connections replaced by such as use a browser.
        "urllib3.contrib.emscripten": lambda module: setattr(module, "inject_into_urllib3", lambda: None),
    }
    sys.meta_path.insert(0, _Finder(replaced, changed={"urllib3.connection": _change_urllib3}))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, replaced, changed):
        self._replaced = replaced
        self._changed = changed

    def find_spec(self, name, path, target=None):
        if name in self._replaced:
            return importlib.util.spec_from_loader(name, _Loader(self._replaced[name]))
        if name not in self._changed:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None:
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (run(module), self._changed[name](module))
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, run):
        self.exec_module = run


def _change_urllib3(module):
    """`module`: urllib3.connection."""
    own = module.HTTPConnection._new_conn
    module.HTTPConnection.connect = lambda self: _connect(self, "http", own)
    module.HTTPSConnection.connect = lambda self: _connect(self, "https", own)


def _connect(connection, scheme, own):
    # What has a way of its own to open a connection goes through a proxy, or to a file.
    if connection.proxy or type(connection)._new_conn is not own:
        raise http_bridge.no_proxy()
    if scheme == "https":
        _check_tls(connection)
    http_bridge.connect(connection, scheme)
    # Otherwise urllib3 warns, with verify=False, that nothing is checked.
    connection.is_verified = True


def _check_tls(connection):
    if connection.cert_file or connection.key_file:
        http_bridge.refuse_client_certificate()
    http_bridge.check_authorities(connection.ca_certs, connection.ca_cert_dir, connection.ca_cert_data)
    http_bridge.check_context(connection.ssl_context)
    asserted = (getattr(connection, name, None) for name in ("assert_fingerprint", "assert_hostname", "server_hostname"))
    if any(asserted):
        http_bridge.refuse_other_name()
