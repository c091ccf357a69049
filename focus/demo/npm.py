"""The client library that the demo's page uses, fetched once with `npm pack` and kept in a folder of the checkout.

A plain `npm install` of it fails (it wants dependencies from elsewhere), but its bundle needs only jQuery.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Dict, NamedTuple


class NpmFailed(Exception):
    """The client library could not be fetched; the text says which package and why."""


class Package(NamedTuple):
    """One npm package: what to ask for, the SHA-512 of the archive, and the files of it that are used."""

    specification: str
    sha512: str
    files: Dict[str, str]
    """Path in the archive -> name in the folder."""


CLIENT = Package(
    "@lyno/lib-jitsi-meet@2.6726.2",
    "713aca060cb86470fabf21533803b1e72972ce35acddfb7a30b866721bbdcd1a"
    "bbb8bafca260f8944d9f9927e8ca84aa32315cff7b14f572d85e2276d61a90bb",
    {"package/lib-jitsi-meet.min.js": "lib-jitsi-meet.min.js", "package/LICENSE": "lib-jitsi-meet.LICENSE"},
)
JQUERY = Package(
    "jquery@3.6.0",
    "255cc047f02306f56dd81998871442498cac0ec3dcb2c7664c59f3c8b12db3da"
    "8dc268e6bb825300c62e6c47f054e4b0a50d48d6c28a15cc616422366ee7ab7f",
    {"package/dist/jquery.min.js": "jquery.min.js", "package/LICENSE.txt": "jquery.LICENSE"},
)
PACKAGES = (CLIENT, JQUERY)
TIMEOUT = 120.0
"""Seconds for npm to fetch one package."""


def fetch_client(folder: Path) -> Path:
    """Make sure `folder` holds the page's libraries, and return it. Raises NpmFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not all((folder / name).exists() for name in package.files.values()):
            _fetch(package, folder)
    return folder


def _fetch(package: Package, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NpmFailed("npm is not installed, and %s is not in %s" % (package.specification, folder))
    with tempfile.TemporaryDirectory(dir=str(folder)) as work:
        command = [npm, "pack", package.specification, "--ignore-scripts", "--cache", os.path.join(work, "cache")]
        try:
            ran = subprocess.run(command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise NpmFailed("npm pack %s took longer than %d s" % (package.specification, TIMEOUT)) from None
        archives = list(Path(work).glob("*.tgz"))
        if ran.returncode != 0 or len(archives) != 1:
            raise NpmFailed("npm pack %s failed: %s" % (package.specification, _last_words(ran.stderr)))
        unpack(package, archives[0], folder)


def unpack(package: Package, archive: Path, folder: Path) -> None:
    """Take the package's files out of the archive that npm brought. Raises NpmFailed if it is another one."""
    digest = hashlib.sha512(archive.read_bytes()).hexdigest()
    if digest != package.sha512:
        raise NpmFailed("%s is not the archive that was tried: its SHA-512 is %s" % (package.specification, digest))
    with tarfile.open(str(archive)) as tar:
        for path, name in package.files.items():
            content = tar.extractfile(path)
            if content is None:
                raise NpmFailed("%s has no %s" % (package.specification, path))
            unfinished = folder / (name + ".part")
            unfinished.write_bytes(content.read())
            unfinished.replace(folder / name)


def _last_words(errors: bytes) -> str:
    lines = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    return " ".join(lines[-3:])[:500] or "no message"
