"""Why a call failed, as a code for counting: from a fixed vocabulary, never the words of the session."""

import builtins
import re
from collections.abc import Mapping
from typing import Final

DEFAULT: Final = "tool_error"
_LONGEST: Final = 400
_HIGHEST_EXIT: Final = 255
_HIGHEST_SIGNAL: Final = 64

# Exceptions of the standard library and of the clients that tools are built on; others count as `tool_error`.
_EXCEPTION_NAMES: Final = (
    "APIConnectionError APIError APIStatusError APITimeoutError AuthenticationError BadRequestError"
    " CalledProcessError CancelledError ClientError ClientConnectorError ClientResponseError ConfigurationError"
    " ConnectError ConnectTimeout DatabaseError HTTPError HTTPStatusError IntegrityError InvalidURL JSONDecodeError"
    " MaxRetryError NotFoundError OperationalError ParseError PlaywrightTimeoutError PoolTimeout ProgrammingError"
    " ProtocolError ProxyError RateLimitError ReadError ReadTimeout RemoteProtocolError RequestException"
    " SSLCertVerificationError SSLError SchemaError ServerDisconnectedError TimeoutExpired ToolError TooManyRedirects"
    " URLError UnexpectedStatusException ValidationError WebDriverException WriteTimeout"
)
_WORD_STARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _snake(name: str) -> str:
    return _WORD_STARTS.sub("_", name).lower()


_EXCEPTIONS: Final[Mapping[str, str]] = {
    name: _snake(name)
    for name in (
        *(
            name
            for name, value in vars(builtins).items()
            if isinstance(value, type) and issubclass(value, BaseException)
        ),
        *_EXCEPTION_NAMES.split(),
    )
}
_EXCEPTION: Final = re.compile(r"(?<![A-Za-z0-9_])([A-Z][A-Za-z]{3,39})(?=[:(]|$)")
_HTTP: Final = re.compile(r"\b(?:HTTP|status(?: code)?)[ :/]{0,2}([45]\d\d)\b", re.IGNORECASE)
_STATUS_CODES: Final = frozenset({"not_found", "disabled", "pending_approval"})
_OWN_CODES: Final = frozenset({"tool_result_contract"})

# What Hermes' own tools say, in the order of how specific it is.
_PHRASES: Final = (
    ("file not found", "file_not_found"),
    ("no such file", "file_not_found"),
    ("path not found", "path_not_found"),
    ("failed to read file", "file_unreadable"),
    ("cannot read binary", "binary_file"),
    ("blocked: you have", "loop_stop"),
    ("blocked: exact search", "loop_stop"),
    ("sensitive system path", "protected_path"),
    ("syntax validation", "invalid_content"),
    ("could not find a match", "no_match"),
    ("matches for old_string", "ambiguous_match"),
    ("patch validation failed", "invalid_patch"),
    ("missing required field", "missing_argument"),
    (" required", "missing_argument"),
    ("no code provided", "missing_argument"),
    ("invalid tool arguments", "invalid_arguments"),
    ("unknown process action", "unknown_action"),
    ("no process with id", "not_found"),
    ("foreground timeout", "timeout_too_long"),
    ("exceed the limit", "full"),
    ("permission denied", "permission_denied"),
    ("rate limit", "rate_limited"),
    ("unauthorized", "unauthorized"),
    ("connection refused", "connection_refused"),
    ("could not resolve", "name_not_resolved"),
    ("private or internal network", "private_address"),
    ("timed out", "timed_out"),
    ("not connected", "disconnected"),
    ("disconnected", "disconnected"),
    ("search failed", "search_failed"),
    ("not found", "not_found"),
)


def error_type(error: object, declared: object = None, status: object = None) -> str:
    """Find the code of a failure in its error text.

    Args:
        error: The `error` member of a result, or a plain text that begins with `Error`; any type.
        declared: The `error_type` member beside it, taken only when it is one that Hermes itself writes.
        status: The `status` member beside it, taken only when nothing better is known.

    Returns:
        A code of `[a-z0-9_]{1,40}`: an exception of a fixed list, a known complaint, an HTTP status, or `DEFAULT`.
    """
    if isinstance(declared, str) and declared in _OWN_CODES:
        return declared
    if isinstance(error, Mapping):
        error = error.get("message")
    if isinstance(error, str):
        head = error[:_LONGEST]
        for name in _EXCEPTION.findall(head):
            if name in _EXCEPTIONS:
                return _EXCEPTIONS[name]
        if http := _HTTP.search(head):
            return f"http_{http[1]}" if http[1].isascii() else DEFAULT
        lowered = head.lower()
        for phrase, code in _PHRASES:
            if phrase in lowered:
                return code
    return status if isinstance(status, str) and status in _STATUS_CODES else DEFAULT


def exit_type(code: int) -> str:
    """The code of a nonzero exit: `exit_3`, `signal_9` for -9, `exit_other` outside what a shell can report."""
    if 0 < code <= _HIGHEST_EXIT:
        return f"exit_{code}"
    return f"signal_{-code}" if -_HIGHEST_SIGNAL <= code < 0 else "exit_other"
