"""Every error of timmyd, grouped by who must act. The class owns the words; callers branch on the class."""

from collections.abc import Sequence


class TimmyError(Exception):
    """Base of all errors that timmyd raises on purpose."""


class Problem(Exception):  # noqa: N818 - one finding inside a ConfigError, never raised alone
    """One thing wrong in the settings: where, what was expected, what was found, what to do."""

    def __init__(self, place: str, message: str, *, hint: str | None = None) -> None:
        self.place = place
        self.message = message
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        """The finding as one line, with its hint on a second one."""
        line = f"{self.place}: {self.message}"
        return line if self.hint is None else f"{line}\n  hint: {self.hint}"


class ConfigError(TimmyError):
    """The operator must act: the settings are wrong. Exit status 78, no restart.

    Attributes:
        problems: All that is wrong, in the order of the files.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SessionError(TimmyError):
    """One file could not be taken in; noted in the ledger and retried when the file changes.

    Attributes:
        code: A stable word for counting, such as `not_json`.
        place: Where in the file, such as `$.messages[1].role` or `byte 17`; never its content.
    """

    def __init__(self, code: str, place: str, detail: str) -> None:
        self.code = code
        self.place = place
        self.detail = detail
        super().__init__(f"{place}: {detail}")


class StoreError(TimmyError):
    """The database cannot be used. `retry` tells busy from broken."""

    def __init__(
        self, path: str, detail: str, *, retry: bool = False, hint: str | None = None
    ) -> None:
        self.path = path
        self.detail = detail
        self.retry = retry
        self.hint = hint
        line = f"cannot use the database {path}: {detail}"
        super().__init__(line if hint is None else f"{line}\n  hint: {hint}")


class PublishError(TimmyError):
    """The policy could not be published; the old one stays, the next tick tries again."""

    def __init__(self, path: str, detail: str) -> None:
        self.path = path
        self.detail = detail
        folder = path.rsplit("/", 1)[0] or "/"
        super().__init__(
            f"cannot publish {path}: {detail}\n"
            f"  hint: check free space on, and write permission to, {folder}"
        )


class AlreadyRunningError(TimmyError):
    """Another daemon holds this state."""

    def __init__(self, state: str, pid: int | None) -> None:
        self.state = state
        self.pid = pid
        who = "another timmyd" if pid is None else f"another timmyd (pid {pid})"
        super().__init__(
            f"{who} is running on {state}\n  hint: stop it first, or choose another --state"
        )
