"""Encryption at rest of variables and connections: Fernet, with the key file `$LEOFLOW_HOME/secret-key`.

The database only ever sees ciphertext; losing the key file loses these values and nothing else.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from leoflow.errors import LeoflowError

KEY_FILE = "secret-key"


class SecretBox:
    """Encrypts and decrypts text.

    Args:
        keys: Fernet keys; the first one encrypts, each of them decrypts, so a key is rotated by putting a new one
            in front.
    """

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @classmethod
    def load_or_create(cls, home: Path) -> "SecretBox":
        """Read the keys of a home (one per line), creating the file with mode 0600 when there is none.

        Raises:
            LeoflowError: when the file holds something else than Fernet keys.
        """
        path = home / KEY_FILE
        lines = _read_or_create(path).split()
        try:
            return cls(lines)
        except ValueError as error:
            raise LeoflowError(
                "not a Fernet key",
                where=str(path),
                hint="restore the file from a backup; with a new key, stored variables and connections are lost",
            ) from error

    def encrypt(self, text: str) -> bytes:
        """Encrypt a text; the same text gives different bytes each time."""
        return self._fernet.encrypt(text.encode())

    def decrypt(self, token: bytes | memoryview) -> str:
        """Decrypt what `encrypt` returned.

        Raises:
            LeoflowError: when none of the keys made it.
        """
        try:
            return self._fernet.decrypt(bytes(token)).decode()
        except InvalidToken as error:
            raise LeoflowError(
                "a stored secret was encrypted with another key",
                where=KEY_FILE,
                hint="restore the key file this database was used with, or set the value again",
            ) from error


def _read_or_create(path: Path) -> str:
    """Read the key file; of several processes that find none, one creates it and all read the same key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
        with suppress(FileExistsError):
            os.link(draft, path)
        Path(draft).unlink()
    return path.read_text()
