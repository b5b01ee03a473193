"""Who may read Ray's token."""

import os
import stat
from pathlib import Path

import pytest

from trials.ray_token import TokenError, mend_token_file, read_token, token_path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o755, 0o600, 0o400])
def test_others_may_not_read_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "auth_token"
    path.write_text("secret")
    path.chmod(mode)
    mend_token_file(path)
    assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0
    assert path.read_text() == "secret"


def test_what_a_link_points_to_is_mended(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "token")
    mend_token_file(tmp_path / "link")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_no_file_is_made(tmp_path: Path) -> None:
    mend_token_file(tmp_path / "none" / "auth_token")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(TokenError, match="must be a file, but"):
            mend_token_file(path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in (str(tmp_path / "loop"), "a\0b"):
        with pytest.raises(TokenError, match="must be readable, but"):
            mend_token_file(Path(name))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of other users")
def test_file_of_another_user(tmp_path: Path) -> None:
    path = tmp_path / "auth_token"
    path.write_text("theirs")
    os.chown(path, 12345, 12345)
    with pytest.raises(TokenError, match=r"must be your own, but .* is of user 12345"):
        mend_token_file(path)


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert token_path() == Path("/home/someone/.ray/auth_token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/run/token")
    assert token_path() == Path("/run/token")


def test_a_token_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    path.chmod(0o644)
    assert read_token(path) == ("secret", 0o644)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_what_is_no_token_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "pipe", Path("a\0b")):
        assert read_token(path) == ("", None)
