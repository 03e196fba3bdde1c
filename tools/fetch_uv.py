"""Fetch uv's program from the configured package index, with nothing but the standard library.

Usage: `python fetch_uv.py TARGET`. A bare Debian's Python has neither pip nor ensurepip, and uv is one static binary
inside a wheel. The index is pip's or uv's: UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL, pip.conf, else PyPI.
"""

import configparser
import hashlib
import io
import os
import platform
import re
import ssl
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
_MUSL_LOADERS = "/lib/ld-musl-*.so.1"


def pip_option(name: str) -> str | None:
    """What pip is configured with."""
    parser = configparser.ConfigParser(interpolation=None)
    files = [Path(file).expanduser() for file in (*_PIP_FILES, os.environ.get("PIP_CONFIG_FILE") or os.devnull)]
    try:
        parser.read([file for file in files if file.is_file()])
    except configparser.Error:
        return None
    return parser.get("global", name, fallback=None)


def index_url() -> str:
    """The simple index to ask."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(variable):
            return os.environ[variable].rstrip("/")
    return (pip_option("index-url") or "https://pypi.org/simple").rstrip("/")


def wheel_pattern() -> re.Pattern[str]:
    """File names of uv's wheels for this machine."""
    machine = {"arm64": "aarch64", "AMD64": "x86_64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    if sys.platform == "darwin":
        tag = rf"macosx_\d+_\d+_{'arm64' if machine == 'aarch64' else machine}"
    elif list(Path("/").glob(_MUSL_LOADERS.lstrip("/"))):
        tag = rf"musllinux_1_\d+_{machine}"
    else:
        tag = rf"manylinux[\w.]*_{machine}[\w.]*"
    return re.compile(rf"^uv-(\d+)\.(\d+)\.(\d+)-py3-none-{tag}\.whl$")


def get(url: str) -> bytes:
    """Read one URL, with the certificates pip is told to use."""
    bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT") or pip_option("cert")
    context = ssl.create_default_context(cafile=bundle if bundle and Path(bundle).is_file() else None)
    with urllib.request.urlopen(urllib.request.Request(url), timeout=120, context=context) as answer:
        body: bytes = answer.read()
        return body


def newest_wheel(page: str, base: str) -> str:
    """The address of the newest wheel on the index's page, hash included."""
    pattern = wheel_pattern()
    found: list[tuple[tuple[int, ...], str]] = []
    for link in re.findall(r'href="([^"]+)"', page):
        address = urllib.parse.urljoin(base, link.replace("&amp;", "&"))
        match = pattern.match(urllib.parse.unquote(Path(urllib.parse.urlparse(address).path).name))
        if match:
            found.append((tuple(int(part) for part in match.groups()), address))
    if not found:
        raise LookupError("the index has no uv for this machine")
    return max(found)[1]


def main() -> int:
    """Download, check the hash, unpack the program."""
    target = Path(sys.argv[1])
    base = f"{index_url()}/uv/"
    try:
        address = newest_wheel(get(base).decode(), base)
        wheel = get(address.partition("#")[0])
        wanted = urllib.parse.parse_qs(urllib.parse.urlparse(address).fragment).get("sha256")
        if wanted and hashlib.sha256(wheel).hexdigest() != wanted[0]:
            raise LookupError("the downloaded wheel has another hash than the index says")
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            name = next(each for each in archive.namelist() if each.endswith(".data/scripts/uv"))
            partial = target.with_suffix(".part")
            partial.write_bytes(archive.read(name))
    except (OSError, LookupError, zipfile.BadZipFile, StopIteration) as error:
        print(f"fetching uv: {error}", file=sys.stderr)
        return 1
    partial.chmod(0o755)
    partial.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
