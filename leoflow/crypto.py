"""Encryption at rest of variables and connections: Fernet, with the keys in `$LEOFLOW_HOME/secret-key`.

The database only ever sees ciphertext; losing the key file loses these values and nothing else. The file has one key
a line: the first one writes, every one reads. A line `next KEY` only reads yet: the next rotation will write with it.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from leoflow.errors import LeoflowError

KEY_FILE = "secret-key"
_NEXT = "next "
_LOST = "restore the file from a backup; with a new key, stored variables and connections are lost"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an installation.

    Attributes:
        current: the first one writes, all of them read.
        prepared: reads, and will write from the next rotation on.
    """

    current: tuple[str, ...]
    prepared: str | None = None

    def with_prepared(self) -> "Keys":
        """Return the same with a new key that can only read yet; one that is prepared already is kept."""
        return self if self.prepared else replace(self, prepared=Fernet.generate_key().decode())

    def rotated(self) -> "Keys":
        """Return the keys with the prepared one, else a new one, in front."""
        return Keys((self.prepared or Fernet.generate_key().decode(), *self.current))

    def only_the_first(self) -> "Keys":
        """Return the keys without those that no longer write."""
        return replace(self, current=self.current[:1])

    def to_text(self) -> str:
        """Return the file's text."""
        return "".join(f"{line}\n" for line in (*self.current, *([_NEXT + self.prepared] if self.prepared else [])))


def read_keys(home: Path) -> Keys:
    """Read the key file of a home, creating it with mode 0600 when there is none.

    Raises:
        LeoflowError: the file holds something else than Fernet keys, or cannot be read.
    """
    path = home / KEY_FILE
    try:
        lines = [line.strip() for line in _read_or_create(path).splitlines() if line.strip()]
        keys = Keys(
            tuple(line for line in lines if not line.startswith(_NEXT)),
            next((line.removeprefix(_NEXT).strip() for line in lines if line.startswith(_NEXT)), None),
        )
        if not keys.current:
            raise ValueError("the file is empty")
        _fernet(keys)
    except ValueError as error:
        raise LeoflowError("not a Fernet key", where=str(path), hint=_LOST) from error
    return keys


def write_keys(home: Path, keys: Keys) -> None:
    """Replace the key file at once and durably: whoever reads it sees all the old keys or all the new ones."""
    path = home / KEY_FILE
    draft = _draft(path, keys.to_text())
    draft.replace(path)
    directory = os.open(home, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class SecretBox:
    """Encrypts and decrypts text.

    Args:
        keys: Fernet keys; the first one encrypts, each of them decrypts.
        home: where the keys are read again when the file has changed, so that a rotation reaches running processes.
    """

    def __init__(self, keys: Sequence[str | bytes], *, home: Path | None = None) -> None:
        given = Keys(tuple(key.decode() if isinstance(key, bytes) else key for key in keys))
        self._home = home
        self._seen = _stamp(home)
        self._use(given)

    @classmethod
    def load_or_create(cls, home: Path) -> "SecretBox":
        """Read the keys of a home, creating the file when there is none.

        Raises:
            LeoflowError: when the file holds something else than Fernet keys.
        """
        seen = _stamp(home)
        keys = read_keys(home)
        box = cls(keys.current, home=home)
        box._use(keys)
        box._seen = seen  # a change in between is read again, once for nothing
        return box

    def encrypt(self, text: str) -> bytes:
        """Encrypt a text with the key that writes now; the same text gives different bytes each time."""
        self._read_again_if_changed()
        return self._all.encrypt(text.encode())

    def decrypt(self, token: bytes | memoryview) -> str:
        """Decrypt what `encrypt` returned.

        Raises:
            LeoflowError: when none of the keys made it.
        """
        try:
            return self._open(bytes(token))
        except InvalidToken as error:
            raise LeoflowError(
                "a stored secret was encrypted with another key",
                where=KEY_FILE,
                hint="restore the key file this database was used with, or set the value again",
            ) from error

    def is_current(self, token: bytes | memoryview) -> bool:
        """Tell whether the key that writes now made this."""
        try:
            self._first.decrypt(bytes(token))
        except InvalidToken:
            return False
        return True

    def _open(self, token: bytes) -> str:
        try:
            return self._all.decrypt(token).decode()
        except InvalidToken:
            if not self._read_again_if_changed():
                raise
            return self._all.decrypt(token).decode()

    def _read_again_if_changed(self) -> bool:
        if self._home is None or (stamp := _stamp(self._home)) == self._seen or stamp is None:
            return False
        self._use(read_keys(self._home))
        self._seen = stamp
        return True

    def _use(self, keys: Keys) -> None:
        if not keys.current:
            raise ValueError("there is no key to encrypt with")
        self._first = Fernet(keys.current[0])
        self._all = _fernet(keys)


def _fernet(keys: Keys) -> MultiFernet:
    """Return what reads with every key; raises ValueError when one is none, or there is none."""
    return MultiFernet([Fernet(key) for key in (*keys.current, *([keys.prepared] if keys.prepared else []))])


def _stamp(home: Path | None) -> tuple[int, int] | None:
    try:
        found = (home / KEY_FILE).stat() if home else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino) if found else None


def _read_or_create(path: Path) -> str:
    """Read the key file; of several processes that find none, one creates it and all read the same key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = _draft(path, Fernet.generate_key().decode() + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text()


def _draft(path: Path, text: str) -> Path:
    """Write a text durably to a new file beside `path` that only its owner may read."""
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(draft)
