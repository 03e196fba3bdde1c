import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet

from leoflow.crypto import SecretBox
from leoflow.errors import LeoflowError


def test_encrypted_text_comes_back_and_is_not_readable_in_between():
    box = SecretBox([Fernet.generate_key()])
    token = box.encrypt("pässwörd")
    assert "pässwörd".encode() not in token
    assert box.decrypt(token) == "pässwörd"
    assert box.decrypt(memoryview(token)) == "pässwörd"


def test_the_key_is_created_once_and_only_its_owner_may_read_it(tmp_path):
    token = SecretBox.load_or_create(tmp_path).encrypt("x")
    assert SecretBox.load_or_create(tmp_path).decrypt(token) == "x"
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def test_concurrent_first_starts_share_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        boxes = list(pool.map(lambda _: SecretBox.load_or_create(tmp_path), range(8)))
    token = boxes[0].encrypt("x")
    assert {box.decrypt(token) for box in boxes} == {"x"}


def test_a_rotated_key_still_reads_old_values():
    old, new = Fernet.generate_key(), Fernet.generate_key()
    token = SecretBox([old]).encrypt("x")
    assert SecretBox([new, old]).decrypt(token) == "x"


def test_a_foreign_key_is_refused_with_a_remedy():
    token = SecretBox([Fernet.generate_key()]).encrypt("x")
    with pytest.raises(LeoflowError) as caught:
        SecretBox([Fernet.generate_key()]).decrypt(token)
    assert "restore the key file" in caught.value.hint


@pytest.mark.parametrize("content", ["", "not a key", "é"])
def test_a_damaged_key_file_is_refused_with_its_path(tmp_path, content):
    (tmp_path / "secret-key").write_text(content)
    with pytest.raises(LeoflowError) as caught:
        SecretBox.load_or_create(tmp_path)
    assert caught.value.where == str(tmp_path / "secret-key")
