"""Finds the files that are not Python (SQL, migrations, web) in a checkout and in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share_dir(name: str) -> Path:
    """The directory `sql`, `migrations`, `web` or `examples` of this installation.

    A checkout has them beside the package; a wheel carries them in `leoflow/_share`.
    """
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    return _PACKAGE / "_share" / name
