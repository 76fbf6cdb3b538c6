"""Damages files as disks, editors, broken programs and enemies do; the same seed, the same damage."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any, Final

_PAGE: Final = 4096
_VALUES: Final = (
    "NULL", "x'ff00fe'", "CAST(x'80ff' AS TEXT)", "9e999", "-9e999", "-1", "9223372036854775807", "''",
    "'text'", "0.5", "zeroblob(5000)", "printf('%.*c', 50000, '[')", "hex(randomblob(900))",
)  # fmt: skip
_ODD: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1 << 70, -(1 << 70), 1e308, -0.0, "", "\0", "\ud800", "x" * 5_000, [], {}, [[]], {"": {}},
    [None] * 50, "2026-13-45T99:99:99", "9" * 400, {"role": "tool"}, "tool_call", float("nan"), float("inf"),
)  # fmt: skip


# --------------------------------------------------------------------------- bytes
def damage_bytes(data: bytes, random: Random) -> bytes:
    """Flip, cut, repeat, swap or overwrite some of it."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        kind = random.randrange(7)
        at = random.randrange(len(found) + 1)
        size = random.choice((1, 2, 16, 300, _PAGE))
        if kind == 0 and at < len(found):
            found[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            found[at : at + size] = random.randbytes(len(found[at : at + size]))
        elif kind == 2:
            found[at : at + size] = bytes(len(found[at : at + size]))
        elif kind == 3 and random.random() < 0.3:
            del found[at:]
        elif kind == 4:
            del found[at : at + size]
        elif kind == 5:
            found[at:at] = found[at : at + size]
        else:
            other = random.randrange(len(found) + 1)
            part, other_part = bytes(found[at : at + size]), bytes(found[other : other + size])
            found[other : other + size] = part
            found[at : at + len(part)] = other_part
    return bytes(found)


# ----------------------------------------------------------------------- state.db
def damage_database(path: Path, random: Random) -> None:
    """Damage a database: its bits, its pages, its schema, its types, what lies beside it."""
    kinds: tuple[Callable[[Path, Random], None], ...] = (
        _bits, _bits, _page, _header, _schema, _schema, _types, _types, _beside,
    )  # fmt: skip
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(kinds)(path, random)


def _bits(path: Path, random: Random) -> None:
    path.write_bytes(damage_bytes(path.read_bytes(), random))


def _page(path: Path, random: Random) -> None:
    data = bytearray(path.read_bytes())
    pages = max(1, len(data) // _PAGE)
    one, other = (_PAGE * random.randrange(pages) for _ in range(2))
    fresh = random.choice(
        (bytes(_PAGE), random.randbytes(_PAGE), bytes(data[other : other + _PAGE]))
    )
    data[one : one + _PAGE] = fresh
    path.write_bytes(bytes(data))


def _header(path: Path, random: Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(16, 108)
        data[at : at + 1] = random.choice((b"\0", b"\xff", random.randbytes(1)))
    path.write_bytes(bytes(data))


def _changed(path: Path, *statements: str) -> None:
    with suppress(sqlite3.Error, UnicodeError), closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        connection.executescript("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;")
        connection.executescript(";".join(statements))


def _schema(path: Path, random: Random) -> None:
    names = ("messages", "sessions", "schema_version", "session_model_usage", "state_meta")
    one, other = random.choice(names), random.choice(names)
    edits = (
        (
            f"UPDATE sqlite_master SET sql = replace(sql, '{random.choice(('TEXT', 'INTEGER', 'KEY', ',', '('))}',"
            f" '{random.choice(('', 'BLOB', 'REAL', ')', 'AS (1)'))}') WHERE name = '{one}'"
        ),
        f"UPDATE sqlite_master SET rootpage = {random.choice((-1, 0, 1, 2, 1 << 31))} WHERE name = '{one}'",
        f"UPDATE sqlite_master SET type = 'view', rootpage = 0 WHERE name = '{one}'",
        f"UPDATE sqlite_master SET name = '{other}', tbl_name = '{other}' WHERE name = '{one}'",
        f"UPDATE sqlite_master SET sql = CAST(x'{random.randbytes(9).hex()}' AS TEXT) WHERE name = '{one}'",
        (
            f"UPDATE sqlite_master SET sql = 'CREATE VIEW {one} AS SELECT * FROM {other}', rootpage = 0,"
            f" type = 'view' WHERE name = '{one}'"
        ),
        f"DELETE FROM sqlite_master WHERE name = '{one}'",
        (
            f"UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = '{other}')"
            f" WHERE name = '{one}'"
        ),
    )
    _changed(path, "PRAGMA writable_schema = ON", random.choice(edits))


def _types(path: Path, random: Random) -> None:
    columns = {
        "messages": ("id", "session_id", "role", "content", "tool_call_id", "tool_calls", "timestamp"),
        "sessions": ("id", "model", "parent_session_id", "started_at", "model_config", "end_reason"),
        "session_model_usage": ("session_id", "model", "first_seen", "last_seen"),
        "sqlite_sequence": ("seq", "name"),
        "schema_version": ("version",),
    }  # fmt: skip
    table = random.choice(list(columns))
    column, value = random.choice(columns[table]), random.choice(_VALUES)
    where = random.choice(("", "WHERE rowid % 2", "WHERE rowid > 9"))
    _changed(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(replace(sql, ' NOT NULL', ''), ' PRIMARY KEY', '')"
        if random.random() < 0.3
        else "SELECT 1",
        f"UPDATE OR IGNORE {table} SET {column} = {value} {where}",
    )


def _beside(path: Path, random: Random) -> None:
    for end in random.sample(("-wal", "-shm", "-journal"), random.randrange(1, 4)):
        data = random.choice((b"", random.randbytes(40), bytes(32_768), random.randbytes(9_000)))
        path.with_name(path.name + end).write_bytes(data)
    if random.random() < 0.5:
        data = path.read_bytes()
        path.write_bytes(data[:18] + b"\2\2" + data[20:])


# --------------------------------------------------------------------------- JSON
def damage_document(data: bytes, random: Random) -> bytes:
    """Damage a document: its bytes, or its values one by one."""
    if random.random() < 0.4:
        return damage_bytes(data, random)
    value = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        value = _with_odd(value, random)
    if random.random() < 0.05:
        value = _deep(value, random)
    found = json.dumps(value, indent=random.choice((None, 2))).encode()
    return damage_bytes(found, random) if random.random() < 0.2 else found


def _with_odd(value: Any, random: Random) -> Any:
    """The value with one of its parts replaced, dropped or repeated."""
    if random.random() < 0.1 or not isinstance(value, (dict, list)) or not value:
        return random.choice(_ODD)
    if isinstance(value, dict):
        key = random.choice(list(value))
        return {**value, key: _with_odd(value[key], random)}
    place = random.randrange(len(value))
    kind = random.randrange(4)
    if kind == 0:
        return value[:place] + value[place + 1 :]
    if kind == 1:
        return value[: place + 1] + value[place:]
    return [*value[:place], _with_odd(value[place], random), *value[place + 1 :]]


def _deep(value: Any, random: Random) -> Any:
    for _ in range(random.choice((100, 900))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def damage_lines(data: bytes, random: Random) -> bytes:
    """Damage telemetry: lines, their order, their values."""
    lines = data.splitlines()
    for _ in range(random.choice((1, 2, 9))):
        place = random.randrange(len(lines))
        kind = random.randrange(5)
        if kind == 0:
            lines[place] = damage_bytes(lines[place], random)
        elif kind == 1:
            random.shuffle(lines)
        elif kind == 2:
            lines[place:place] = lines[place : place + 3]
        elif kind == 3:
            lines[place] = lines[place][: random.randrange(len(lines[place]) + 1)]
        else:
            with suppress(ValueError):
                lines[place] = json.dumps(_with_odd(json.loads(lines[place]), random)).encode()
    found = b"\n".join(lines) + random.choice((b"", b"\n", b"\0" * 99))
    return damage_bytes(found, random) if random.random() < 0.2 else found
