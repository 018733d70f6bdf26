"""Unpacks the operator's wheels and the machine's time zones while the snapshot is made, and tells which files they are.

A wheel's Python files are compiled here, once. Its modules are not imported: what a package does when it is imported
(reading the clock, drawing random numbers) belongs into the run. The time zones go into one archive, as the `tzdata`
package that `zoneinfo` looks for, since 600 single files would cost every start more than they are worth.
"""

import compileall
import importlib
import os
import py_compile
import shutil
import sys
import sysconfig
import zipfile

_TIME_ZONES = "/lib/stepvault-tzdata.zip"


def install():
    """The paths of all files. Raises ValueError, with the wheel's name, for one that cannot be installed."""
    folder = sysconfig.get_paths()["purelib"]
    files = []
    for name in sorted(os.listdir("/wheels") if os.path.isdir("/wheels") else ()):
        files += _unpack(name, folder)
    if files:
        compileall.compile_dir(
            folder, quiet=2, force=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
        files = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    if os.path.isdir("/zoneinfo") and not os.path.isdir(os.path.join(folder, "tzdata")):
        files += _pack_time_zones()
    for used in ("/wheels", "/zoneinfo"):
        shutil.rmtree(used, ignore_errors=True)
    importlib.invalidate_caches()
    return files


def _unpack(name, folder):
    pure = name.endswith("-none-any.whl")
    made = []
    with zipfile.ZipFile(f"/wheels/{name}") as wheel:
        for entry in wheel.infolist():
            place = _place_of(name, entry.filename)
            if entry.is_dir() or place is None:
                continue
            if pure and place.endswith((".so", ".pyd", ".dylib", ".dll")):
                raise ValueError(f"{name} says that it is pure Python, but holds compiled code")
            target = os.path.join(folder, place)
            if os.path.exists(target):
                raise ValueError(f"{name} brings a file that another package brings too")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(wheel.read(entry))
            made.append(target)
    return made


def _place_of(name, path):
    """Where a wheel's file belongs, below site-packages; None for scripts and other data."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"{name} holds a file that lies outside of the package")
    if parts[0].endswith(".data"):
        return "/".join(parts[2:]) if len(parts) > 2 and parts[1] in ("purelib", "platlib") else None
    return path


def _pack_time_zones():
    packages = {"tzdata/__init__.py", "tzdata/zoneinfo/__init__.py"}
    with zipfile.ZipFile(_TIME_ZONES, "w", zipfile.ZIP_DEFLATED) as archive:
        zones = []
        for where, _, names in os.walk("/zoneinfo"):
            for name in names:
                zone = os.path.relpath(os.path.join(where, name), "/zoneinfo")
                zones.append(zone)
                # zoneinfo imports the folder of a zone as a package.
                packages.add(os.path.join("tzdata/zoneinfo", os.path.dirname(zone), "__init__.py"))
                archive.write(os.path.join(where, name), f"tzdata/zoneinfo/{zone}")
        for package in packages:
            archive.writestr(package, "")
        archive.writestr("tzdata/zones", "\n".join(sorted(zones)))
    sys.path.append(_TIME_ZONES)
    return [_TIME_ZONES]
