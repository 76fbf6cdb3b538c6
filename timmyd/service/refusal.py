"""Why a file is not read: the reasons, and the error that carries one."""

import errno
from enum import StrEnum
from typing import Final, Self

from timmyd.errors import SessionError


class Reason(StrEnum):
    """Why a file is not read: a stable code, and `words` to end a sentence that begins with the file."""

    IS_LINK = "is_link", "is a symbolic link, and links are never followed"
    NOT_REGULAR = "not_regular", "is not a regular file"
    NOT_DIRECTORY = "not_directory", "is not a directory"
    SEVERAL_LINKS = "several_links", "has several names (hard links), so it may be someone else's"
    FOREIGN_OWNER = "foreign_owner", "belongs to another user than the home does"
    TOO_LARGE = "too_large", "is larger than [files] largest allows"
    REPLACED = "replaced", "was replaced between look and open"
    VANISHED = "vanished", "is no longer there"
    UNREADABLE = "unreadable", "cannot be read"
    FORGOTTEN = "forgotten", "is of a house that was forgotten, until `timmyd house release`"
    BAD_NAME = "bad_name", "is no plain name of a file"

    words: str

    def __new__(cls, code: str, words: str) -> Self:
        """Join the code, which is the value, with its words."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.words = words
        return member


_ERRNO_REASONS: Final = {
    errno.ENOENT: Reason.VANISHED,
    errno.ESTALE: Reason.VANISHED,
    errno.ELOOP: Reason.IS_LINK,
    errno.ENOTDIR: Reason.NOT_DIRECTORY,
    errno.ENXIO: Reason.NOT_REGULAR,
    errno.ENODEV: Reason.NOT_REGULAR,
    errno.ENAMETOOLONG: Reason.BAD_NAME,
}


class FileRefusedError(SessionError):
    """A file, or a directory, that is not read; `reason` says why."""

    def __init__(self, reason: Reason, name: str, *, detail: str | None = None) -> None:
        self.reason = reason
        self.name = name
        words = reason.words if detail is None else f"{reason.words} ({detail})"
        super().__init__(reason.value, "file", words)

    @classmethod
    def of(cls, exc: OSError, name: str) -> Self:
        """What the system's error means here."""
        reason = _ERRNO_REASONS.get(exc.errno or 0, Reason.UNREADABLE)
        return cls(reason, name, detail=exc.strerror if reason is Reason.UNREADABLE else None)
