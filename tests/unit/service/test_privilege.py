"""Root acts in the state of another user as that user; needs root, for only root can act as others."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from timmyd.cli.where import not_the_operator
from timmyd.service.privilege import as_owner, as_root, become_owner, stranger, user_name

ROOT = Path(__file__).parents[3]
NOBODY = 65534
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A place that other users can reach, which pytest's own is not."""
    made = Path(tempfile.mkdtemp(prefix="timmyd-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state that belongs to another user."""
    made = tmp_path / "state"
    made.mkdir()
    os.chown(made, NOBODY, NOBODY)
    yield made
    assert os.geteuid() == 0


def run(state: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "timmyd", *words, "--state", str(state)],
        check=False, capture_output=True, text=True, cwd=ROOT, timeout=60, env={**os.environ, **(env or {})},
    )  # fmt: skip


@ONLY_ROOT
def test_in_the_block_root_is_the_owner_and_afterwards_root(state: Path) -> None:
    groups = os.getgroups()
    with as_owner(state):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (NOBODY, NOBODY, [])
        (state / "mine").touch()
        with as_root():
            assert os.geteuid() == 0
        assert os.geteuid() == NOBODY
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)
    assert (state / "mine").stat().st_uid == NOBODY


@ONLY_ROOT
def test_what_is_roots_or_not_there_changes_nothing(tmp_path: Path) -> None:
    assert stranger(tmp_path) is None
    become_owner(tmp_path / "none")
    with as_owner(tmp_path), as_root():
        assert os.geteuid() == 0


@ONLY_ROOT
def test_orders_of_root_are_written_as_the_owner(state: Path) -> None:
    done = run(state, "policy", "pin", "ezra.evidence_threshold", "0.7")

    assert done.returncode == 0, done.stderr
    made = [path for path in state.rglob("*") if path != state]
    assert made
    assert {path.stat().st_uid for path in made} == {NOBODY}


@ONLY_ROOT
def test_a_backup_goes_where_only_root_may_write_and_comes_back_as_the_owners(
    state: Path, tmp_path: Path
) -> None:
    run(state, "policy", "pin", "ezra.evidence_threshold", "0.7")
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    copy = hidden / "copy.db"

    assert run(state, "db", "backup", str(copy)).returncode == 0
    assert (copy.stat().st_uid, stat.S_IMODE(copy.stat().st_mode)) == (0, 0o600)
    restored = run(state, "db", "restore", str(copy))

    assert restored.returncode == 0, restored.stderr
    assert {path.stat().st_uid for path in state.rglob("*")} == {NOBODY}


@ONLY_ROOT
@pytest.mark.parametrize("name", ["lock", "db/.timmy.db.new", "db/timmy.db-wal", "db/timmy.db"])
def test_a_link_laid_in_the_state_does_not_lead_root_anywhere(
    state: Path, tmp_path: Path, name: str
) -> None:
    run(state, "policy", "pin", "ezra.evidence_threshold", "0.7")
    copy = tmp_path / "copy.db"
    run(state, "db", "backup", str(copy))
    precious = tmp_path / "precious"
    precious.write_text("root's own\n")
    precious.chmod(0o600)
    before = precious.stat()
    link = state / name
    link.unlink(missing_ok=True)
    link.symlink_to(precious)

    for words in (["status"], ["breaker", "clear", "ezra", "terminal"], ["db", "restore", str(copy)]):  # fmt: skip
        run(state, *words)

    after = precious.stat()
    assert precious.read_text() == "root's own\n"
    assert (after.st_uid, after.st_mode, after.st_mtime_ns) == (0, before.st_mode, before.st_mtime_ns)  # fmt: skip


@ONLY_ROOT
def test_a_journal_in_the_state_removes_nothing_of_roots(state: Path, tmp_path: Path) -> None:
    """SQLite removes the super-journal that a hot journal names: as the owner it cannot."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"/nowhere-journal\0")
    folder = state / "db"
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / "timmy.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
    name = os.fsencode(precious)
    total = sum(c if c < 128 else c - 256 for c in name) & 0xFFFFFFFF
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + (0).to_bytes(4) + (0).to_bytes(4) + (2).to_bytes(4) + (512).to_bytes(4) + (4096).to_bytes(4)  # fmt: skip
    journal = header.ljust(512, b"\0") + (0x40000000 // 4096 + 1).to_bytes(4) + name
    journal += len(name).to_bytes(4) + total.to_bytes(4) + magic
    (folder / "timmy.db-journal").write_bytes(journal)
    for path in (folder, *folder.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    tmp_path.chmod(0o755)

    run(state, "import", str(tmp_path))

    assert precious.exists()


@ONLY_ROOT
def test_root_does_not_run_the_daemon_of_another_user(state: Path) -> None:
    done = run(state, "run", "--once", "--sessions", str(state))

    assert done.returncode == 78
    assert "it belongs to nobody, and this is root" in done.stderr
    assert "systemctl start timmyd" in done.stderr


@ONLY_ROOT
def test_a_report_that_root_names_is_written_by_root(state: Path, tmp_path: Path) -> None:
    run(state, "policy", "pin", "ezra.evidence_threshold", "0.7")
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)

    done = run(state, "report", "--html", str(hidden / "page.html"))

    assert done.returncode == 0, done.stderr
    assert (hidden / "page.html").stat().st_uid == 0


@ONLY_ROOT
def test_orders_of_somebody_else_are_refused_in_words_that_say_who_may(
    state: Path, tmp_path: Path
) -> None:
    me = user_name(0)
    assert not_the_operator(tmp_path, service=state) is not None, "a house's own directory"
    (tmp_path / "db").mkdir()
    assert not_the_operator(tmp_path, service=state) is None
    assert not_the_operator(tmp_path / "none", service=tmp_path / "none") is None
    others = not_the_operator(state, service=tmp_path / "none")
    assert others is not None
    assert others.startswith(f"{me} may not give orders")
    assert f"the operator of {state} is nobody" in others
    none_of_ones_own = not_the_operator(tmp_path / "none", service=state)
    assert none_of_ones_own is not None
    assert f"the operator of this machine's ({state}) is root" in none_of_ones_own
    assert "sudo" in none_of_ones_own


def test_a_user_without_a_name_is_called_by_the_number() -> None:
    assert user_name(123_456_789) == "123456789"


@ONLY_ROOT
def test_the_kit_that_root_installs_in_a_home_is_its_owners_and_follows_no_link_of_theirs(
    tmp_path: Path,
) -> None:
    home, away = tmp_path / "home", tmp_path / "roots"
    home.mkdir()
    away.mkdir(mode=0o755)
    (home / "plugins").symlink_to(away)
    os.chown(home, NOBODY, NOBODY)
    os.chown(home / "plugins", NOBODY, NOBODY, follow_symlinks=False)
    install = [sys.executable, "-m", "timmyd", "hermes", "install", "--yes", "--home", str(home)]

    subprocess.run(install, check=False, capture_output=True, cwd=ROOT, timeout=60)
    assert list(away.iterdir()) == []

    (home / "plugins").unlink()
    done = subprocess.run(install, check=False, capture_output=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    made = [path for path in home.rglob("*") if path != home]
    assert made
    assert {path.stat().st_uid for path in made} == {NOBODY}
