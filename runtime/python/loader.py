# Runs once, in the cold interpreter that becomes the snapshot: makes our own modules importable, imports what steps use
# most, so that a restored interpreter pays for none of it, and unpacks the operator's wheels and the time zones, whose
# files are put back at every start. `_stepvault_sources` is JSON put here by the guest. Gives JSON: `files`, or `error`.
def _stepvault_load():
    import json
    import sys
    import types

    sources = json.loads(globals().pop("_stepvault_sources"))
    # Stands for a module of a package, so it runs when a step imports that.
    transports = compile(sources.pop("_stepvault_httpx"), "<_stepvault_httpx>", "exec")
    modules = {name: types.ModuleType(name) for name in sources}
    sys.modules.update(modules)
    # The one that steps import by its own name.
    modules["_stepvault_sign"].__name__ = "stepvault"
    sys.modules["stepvault"] = modules["_stepvault_sign"]
    # It uses others of ours as soon as it runs.
    for name in sorted(sources, key=lambda name: name == "_stepvault_runner"):
        exec(compile(sources[name], f"<{name}>", "exec"), modules[name].__dict__)
    modules["_stepvault_runner"].install()
    modules["_stepvault_clients"].install(transports)

    for name in (
        "argparse array ast asyncio base64 binascii bisect calendar cmath codecs collections configparser contextlib copy "
        "csv dataclasses datetime decimal difflib email.message email.utils enum fnmatch fractions functools glob gzip "
        "hashlib heapq hmac html html.parser http.client http.cookies inspect io ipaddress itertools json linecache locale "
        "logging logging.handlers math mimetypes numbers operator os pathlib pickle pprint pyodide.ffi pyodide.http queue "
        "random re secrets shlex shutil statistics string struct tempfile textwrap threading time traceback types typing "
        "unicodedata urllib.error urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib "
        "zoneinfo"
    ).split():
        __import__(name)

    try:
        files = modules["_stepvault_packages"].install()
    except ValueError as error:
        return json.dumps({"error": str(error)})
    text = json.dumps({"files": files})
    _stepvault_clear_free_memory()
    return text


def _stepvault_clear_free_memory():
    # What was freed is garbage that the snapshot would hold; zeros are left out of it.
    import gc

    gc.collect()
    for size in (1 << 20, 1 << 18, 1 << 16):
        blocks = []
        for _ in range((4 << 20) // size):
            blocks.append(bytearray(size))
        del blocks
    gc.collect()


_stepvault_load()
