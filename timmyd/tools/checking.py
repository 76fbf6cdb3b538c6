"""`timmyd check`: what is wrong or could be better on this machine, each with a code and a remedy; reads only."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from timmyd import __version__
from timmyd.config import Settings, database_path, metrics_path, policy_path
from timmyd.core.ownership import OwnedHouse
from timmyd.errors import StoreError
from timmyd.house.policy import PolicyError, parse
from timmyd.house.units import DAY_S
from timmyd.service.lock import holder
from timmyd.store.backup import quick_check
from timmyd.store.database import PatternDatabase

Severity = Literal["fine", "note", "wrong"]

OTHERS_READ: Final = stat.S_IROTH
OTHERS_WRITE: Final = stat.S_IWOTH | stat.S_IWGRP
_PRIVATE: Final = 0o077
_HANGS_S: Final = 120.0
_OF_LATE_S: Final = 7 * DAY_S
_LARGEST_POLICY: Final = 256 * 1024


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        code: Stable, for scripts: `policy_expired`.
        severity: `fine`; `note`: it works, and this could be better; `wrong`: act on it.
        place: What was looked at.
        words: How it is.
        remedy: What to do, a command where there is one; None where nothing is to be done.
    """

    code: str
    severity: Severity
    place: str
    words: str
    remedy: str | None = None


def fine(code: str, place: object, words: str) -> Finding:
    """All is well."""
    return Finding(code=code, severity="fine", place=str(place), words=words)


def note(code: str, place: object, words: str, remedy: str | None = None) -> Finding:
    """It works and could be better."""
    return Finding(code=code, severity="note", place=str(place), words=words, remedy=remedy)


def wrong(code: str, place: object, words: str, remedy: str) -> Finding:
    """It does not work as it should."""
    return Finding(code=code, severity="wrong", place=str(place), words=words, remedy=remedy)


def check_settings(paths: tuple[Path, ...]) -> Iterator[Finding]:
    """Which settings are in force; that they are right is known already."""
    if not paths:
        yield fine("settings_default", "settings", "there is no file: the built-in settings hold")
    for path in paths:
        yield fine("settings_right", path, "is read and has no problem")


def check_state(settings: Settings, state: Path, *, now: float) -> Iterator[Finding]:
    """The state directory, its database, and the files that are published."""
    if not state.is_dir():
        yield note("state_missing", state, "does not exist yet", "timmyd run --once")
        return
    if state.stat().st_mode & OTHERS_WRITE:
        yield wrong("state_writable", state, "can be written by others", f"chmod go-w {state}")
    if not os.access(state, os.W_OK):
        yield note(
            "state_foreign", state, "cannot be written by this user", "run this as its owner"
        )
    yield from _check_database(database_path(state), now)
    metrics = metrics_path(settings, state)
    if metrics.exists() and not metrics.stat().st_mode & OTHERS_READ:
        yield wrong("metrics_hidden", metrics, "cannot be read by others", f"chmod a+r {metrics}")


def _check_database(path: Path, now: float) -> Iterator[Finding]:
    if not path.exists():
        yield note("database_missing", path, "does not exist yet", "timmyd run --once")
        return
    folder = path.parent
    if folder.stat().st_mode & _PRIVATE:
        yield wrong("database_open", folder, "can be entered by others", f"chmod 700 {folder}")
    try:
        problems = quick_check(path)
    except StoreError as error:
        words = error.detail
        yield wrong("database_unusable", path, words, error.hint or "timmyd db restore FILE")
        return
    if problems:
        yield wrong(
            "database_damaged",
            path,
            f"is damaged: {problems[0]}",
            "stop the daemon, then: timmyd db restore FILE",
        )
    else:
        yield fine("database_whole", path, "passes SQLite's quick check")
        yield from _check_shared(path, now)


def _check_shared(path: Path, now: float) -> Iterator[Finding]:
    """Sessions that two houses showed of late: the one that showed them first keeps them."""
    try:
        database = PatternDatabase(path, read_only=True)
    except StoreError:
        return
    try:
        for (house, keeper), at in sorted(database.shared_sessions().items()):
            if at < now - _OF_LATE_S:
                continue
            yield note(
                "session_shared",
                f"house {house}",
                f"showed sessions that {keeper} had shown before: they count for {keeper}",
                "one home may be a copy of, or a link to, the other: give both one house",
            )
    finally:
        database.close()


def check_policy(settings: Settings, state: Path, *, now: float) -> Iterator[Finding]:
    """The published file, as a house would judge it."""
    path = policy_path(settings, state)
    running = holder(state) is not None
    stale: Callable[..., Finding] = wrong if running else note
    again = "timmyd run" if not running else "timmyd status says why"
    try:
        info = path.stat(follow_symlinks=False)
    except OSError:
        yield stale("policy_missing", path, "is not there: houses use built-in values", again)
        return
    if info.st_mode & OTHERS_WRITE:
        yield wrong("policy_writable", path, "can be written by others", f"chmod go-w {path}")
    if not info.st_mode & OTHERS_READ:
        yield wrong("policy_hidden", path, "cannot be read by the houses", f"chmod a+r {path}")
    try:
        if info.st_size > _LARGEST_POLICY:
            yield wrong("policy_refused", path, "is larger than any house would read", again)
            return
        policy = parse(path.read_bytes(), now=now, previous=None)
    except PolicyError as error:
        if error.code == "expired":
            yield stale("policy_expired", path, "has expired: houses use built-in values", again)
        else:
            yield wrong("policy_refused", path, f"no house would use it: {error.code}", again)
        return
    except OSError as error:
        yield wrong("policy_hidden", path, f"cannot be read: {error.strerror}", "check its mode")
        return
    if policy.mode == "observe":
        yield note("policy_observes", path, "only observes: houses use built-in values")
    else:
        yield fine("policy_fresh", path, f"revision {policy.revision} is in force")


def check_daemon(state: Path, status: dict[str, Any], *, now: float) -> Iterator[Finding]:
    """Whether a daemon runs on this state, and whether it is alive."""
    pid = holder(state)
    if pid is None:
        yield note("daemon_down", state, "no daemon runs on it", "timmyd run")
        return
    seen = status.get("seen_at")
    if isinstance(seen, int | float) and now - seen > _HANGS_S:
        words = f"the daemon (pid {pid}) last ticked {now - seen:.0f} s ago"
        yield wrong("daemon_hangs", state, words, "restart it: systemctl restart timmyd")
    else:
        yield fine("daemon_alive", state, f"the daemon runs (pid {pid})")
    if (version := status.get("version")) not in {None, __version__}:
        words = f"the daemon (pid {pid}) is timmyd {version}, this is {__version__}"
        yield note("daemon_old", state, words, "restart it: systemctl restart timmyd")
    yield from _check_clock(status.get("clock"))
    for row in status.get("quotas", ()):
        words = f"{row['owner']} (house {row['house']}) has more {row['limit']} than [quota] allows"
        yield note("quota_reached", state, words, f"raise [quota] {row['limit']}, or ask them")
    if status.get("observer") == "polling":
        yield note(
            "daemon_polls",
            state,
            "the daemon got no directory events and looks every two seconds",
            "raise fs.inotify.max_user_instances and max_user_watches with sysctl",
        )


def _check_clock(clock: object) -> Iterator[Finding]:
    if not isinstance(clock, dict) or not clock.get("jumps"):
        return
    ahead_s, jump_s = float(clock.get("ahead_s", 0.0)), float(clock.get("jump_s", 0.0))
    if ahead_s:
        words = (
            f"is {ahead_s:+.0f} s off what our ticks and the files say: nothing is deleted,"
            " and calls are dated by what they say"
        )
        yield wrong("clock_doubted", "clock", words, "set the clock; timedatectl status")
    else:
        words = f"jumped {clock['jumps']} times, last by {jump_s:+.0f} s"
        yield note("clock_jumped", "clock", words, "synchronise it: timedatectl set-ntp true")


def check_inotify(folders: int, *, proc: Path = Path("/proc"), uid: int) -> Iterator[Finding]:
    """Whether one more inotify instance, and a watch a directory, fit under the user's limits.

    Args:
        folders: Directories to watch.
        proc: Where the kernel tells.
        uid: Whose limits.
    """
    place = proc / "sys/fs/inotify"
    try:
        watches = int((place / "max_user_watches").read_text())
        instances = int((place / "max_user_instances").read_text())
    except (OSError, ValueError):
        yield note("inotify_unknown", place, "the kernel does not tell its limits")
        return
    used_instances, used_watches = _inotify_used(proc, uid)
    for name, used, more, limit in (
        ("max_user_instances", used_instances, 1, instances),
        ("max_user_watches", used_watches, folders, watches),
    ):
        if used + more > limit:
            yield wrong(
                "inotify_full",
                place / name,
                f"{used} of {limit} are used and {more} more needed: directories would be polled",
                f"sysctl fs.inotify.{name}={max(2 * limit, 2 * (used + more))}",
            )
            return
    yield fine("inotify_room", place, f"{used_watches} of {watches} watches used, {folders} needed")


def _inotify_used(proc: Path, uid: int) -> tuple[int, int]:
    """(instances, watches) of all processes of a user that can be looked into."""
    instances = watches = 0
    for process in proc.glob("[0-9]*"):
        try:
            if process.stat().st_uid != uid:
                continue
            for link in (process / "fd").iterdir():
                if "inotify" in str(link.readlink()):
                    instances += 1
                    lines = (process / "fdinfo" / link.name).read_text().splitlines()
                    watches += sum(line.startswith("inotify ") for line in lines)
        except OSError:
            continue
    return instances, watches


def check_houses(houses: Iterable[OwnedHouse]) -> Iterator[Finding]:
    """Homes that got another house than they claim, and houses that nothing is learned from."""
    known = list(houses)
    owners = {house.name: house.owner for house in known}
    for house in known:
        if house.claimed not in {None, house.name}:
            words = (
                f"a home of {house.owner} claims to be {house.claimed}, which is a house of"
                f" {owners.get(str(house.claimed), 'another owner')}: its calls count for {house.name}"
            )
            remedy = "rename the profile, or give it another name: timmyd enrol USER --house NAME"
            yield note("house_taken", house.name, words, remedy)
        if house.state != "active":
            words = {
                "quarantined": "is quarantined: counted and shown, not learned from",
                "forgotten": "is forgotten: its files are refused",
            }[house.state]
            yield note(
                f"house_{house.state}", house.name, words, f"timmyd house release {house.name}"
            )
