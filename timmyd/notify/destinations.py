"""Destinations: a program, a web address, or whatever Apprise knows. Each raises `DeliveryError` or is done."""

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final, Protocol

from timmyd.clock import monotonic
from timmyd.core.alerts import Alert

TIMEOUT_S: Final = 30.0
_LARGEST_ANSWER: Final = 65_536
_FIELD: Final = re.compile(r"\{([a-z_]+(?:\.[A-Za-z0-9_]+)*)\}")
_LONGEST_WORDS: Final = 200
_ANSWERED: Final = "answered {}"
_NO_APPRISE: Final = "Apprise is not installed: pip install 'timmyd[notify]'"
_UNKNOWN_ADDRESS: Final = "Apprise does not know this address"
_NOT_DELIVERED: Final = "Apprise could not deliver"


class DeliveryError(Exception):
    """A destination did not take a message; the words name no secret."""


class Destination(Protocol):
    """Where messages go."""

    def deliver(self, events: Sequence[Alert], *, before: str = "") -> str:
        """Hand over events of one kind; returns what is to be kept of the answer.

        Args:
            events: At least one.
            before: What was answered when the trouble began that these events end.

        Raises:
            DeliveryError: Nobody took them.
        """
        ...


def payload(events: Sequence[Alert]) -> dict[str, Any]:
    """What is told: the first event's fields, a sentence for all of them, and the events themselves."""
    import msgspec  # noqa: PLC0415 - a module of pure strings otherwise

    first = events[0]
    return {
        "schema": "timmy.event/1",
        "kind": first.kind,
        "severity": first.severity,
        "house": first.house,
        "subject": first.subject,
        "over": first.over,
        "at": first.at,
        "count": len(events),
        "title": title(events),
        "text": "\n".join(f"{event.subject}: {event.text}" for event in events),
        "events": msgspec.to_builtins(list(events)),
    }


def title(events: Sequence[Alert]) -> str:
    """One line for a subject."""
    words = events[0].kind.replace("_", " ")
    more = f" and {len(events) - 1} more" if len(events) > 1 else ""
    return f"timmyd: {words}: {events[0].subject}{more}"


def filled(template: str, fields: Mapping[str, Any], quote: Callable[[str], str]) -> str:
    """A template of the operator's with `{title}`, `{text}`, `{answer.number}` and the like put in.

    Args:
        template: Unknown names become empty; single braces that hold no name stay as they are.
        fields: What there is.
        quote: Makes a value harmless where it goes: in a JSON string, in an address.
    """

    def value(found: re.Match[str]) -> str:
        item: Any = fields
        for part in found[1].split("."):
            item = item.get(part) if isinstance(item, Mapping) else None
        if item is None:
            return ""
        return quote(item if isinstance(item, str) else json.dumps(item))

    return _FIELD.sub(value, template)


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_url(text: str) -> str:
    return urllib.parse.quote(text, safe="")


class Program:
    """`exec`: the payload as JSON on standard input; status 0 is done."""

    def __init__(self, command: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> None:
        self.command = list(command)
        self._timeout_s = timeout_s

    def deliver(self, events: Sequence[Alert], *, before: str = "") -> str:
        """Run it."""
        data = json.dumps(payload(events) | {"answer": _answer(before)}).encode()
        try:
            # What it leaves running may hold its output open, and is not waited for: hence a file, no pipe.
            with tempfile.TemporaryFile() as said:
                status = self._run(data, said)
                said.seek(0)
                answer = said.read(_LARGEST_ANSWER)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise DeliveryError(self._said(type(error).__name__)) from error
        if status:
            raise DeliveryError(self._said(f"status {status}"))
        return _kept(answer)

    def _run(self, data: bytes, said: IO[bytes]) -> int:
        """Its status; a program that takes too long is killed with all that it started."""
        with subprocess.Popen(  # noqa: S603 - the operator's own command
            self.command,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as child:
            try:
                child.communicate(data, timeout=self._timeout_s)
            except BaseException:
                os.killpg(child.pid, signal.SIGKILL)
                raise
            return child.returncode

    def _said(self, words: str) -> str:
        return f"{self.command[0]}: {words}"


class Webhook:
    """`webhook`: the payload, or a body made of a template, by HTTP; any 2xx is done.

    With `over_url` the end of a trouble goes there instead, where `{answer.…}` stands for a field of what
    was answered at its beginning: `…/issues/{answer.number}` closes the issue that was opened.
    """

    def __init__(
        self,
        url: str,
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        over_url: str | None = None,
        over_body: str | None = None,
        over_method: str = "PATCH",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = url
        self._body = body
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._over = (over_method, over_url, over_body)
        self._timeout_s = timeout_s

    def deliver(self, events: Sequence[Alert], *, before: str = "") -> str:
        """Send it."""
        fields = payload(events) | {"answer": _answer(before)}
        method, url, body = "POST", self._url, self._body
        if events[0].over and self._over[1] is not None:
            method, url, body = self._over[0], self._over[1], self._over[2]
        text = json.dumps(fields) if body is None else filled(body, fields, _in_json)
        try:
            request = urllib.request.Request(  # noqa: S310 - the settings allow http and https alone
                filled(url, fields, _in_url), text.encode(), dict(self._headers), method=method
            )
            with _OPENER.open(request, timeout=self._timeout_s) as answer:
                return _kept(self._read(answer))
        except urllib.error.HTTPError as error:
            with error:
                raise DeliveryError(_ANSWERED.format(error.code)) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise DeliveryError(str(reason)[:_LONGEST_WORDS]) from error

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        """What is answered within the time there is for it, however slowly the rest would come."""
        ends, data = monotonic() + self._timeout_s, b""
        while len(data) < _LARGEST_ANSWER and monotonic() < ends:
            part = answer.read1(_LARGEST_ANSWER - len(data))
            if not part:
                break
            data += part
        return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the operator's token to another host."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow none."""
        return


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


class AppriseTarget:
    """`apprise`: a title and a text to whatever the optional package knows."""

    def __init__(self, url: str) -> None:
        self._url = url

    def deliver(self, events: Sequence[Alert], *, before: str = "") -> str:  # noqa: ARG002 - the protocol's
        """Hand it to Apprise."""
        try:
            import apprise  # noqa: PLC0415 - optional
        except ImportError as error:
            raise DeliveryError(_NO_APPRISE) from error
        target = apprise.Apprise()
        if not target.add(self._url):
            raise DeliveryError(_UNKNOWN_ADDRESS)
        if not target.notify(title=title(events), body=str(payload(events)["text"])):
            raise DeliveryError(_NOT_DELIVERED)
        return ""


def _answer(before: str) -> Any:
    try:
        return json.loads(before) if before else {}
    except ValueError:
        return {}


def _kept(data: bytes) -> str:
    """Of a JSON object its plain members, which may be needed when the trouble is over; else nothing."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    plain = {
        key: value
        for key, value in found.items()
        if isinstance(value, (int, str, bool)) and len(str(value)) <= _LONGEST_WORDS
    }
    return json.dumps(plain)
