# Runs once, in the cold interpreter that becomes the snapshot: makes our own modules importable and imports what steps
# use most, so that a restored interpreter pays for none of it. `_stepvault_sources` is JSON put here by the guest.
def _stepvault_load():
    import json
    import sys
    import types

    sources = json.loads(globals().pop("_stepvault_sources"))
    modules = {name: types.ModuleType(name) for name in sources}
    sys.modules.update(modules)
    # Those that import others of ours come last.
    for name in sorted(sources, key=lambda name: (name == "_stepvault_runner", name)):
        exec(compile(sources[name], f"<{name}>", "exec"), modules[name].__dict__)
    modules["_stepvault_runner"].install()

    for name in (
        "argparse asyncio base64 binascii bisect calendar codecs collections contextlib copy csv dataclasses datetime "
        "decimal difflib email.message email.utils enum fractions functools gzip hashlib heapq hmac html html.parser "
        "http.client inspect io itertools json linecache locale logging math operator os pathlib pprint pyodide.ffi "
        "pyodide.http random re secrets shutil statistics string struct tempfile textwrap time traceback typing "
        "unicodedata urllib.error urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zlib zoneinfo"
    ).split():
        __import__(name)


_stepvault_load()
del _stepvault_load
"[]"
