"""The words of a judgement: the seven outcomes, and the published rules with the outcome that each gives."""

from typing import Final, NamedTuple

OUTCOMES: Final[tuple[str, ...]] = (
    "ok",
    "error",
    "timeout",
    "blocked",
    "cancelled",
    "rejected",
    "unknown",
)
RATED: Final = frozenset({"ok", "error", "timeout"})


class Judged(NamedTuple):
    """The outcome of one call.

    Attributes:
        outcome: One of `OUTCOMES`.
        rule: The one of `RULES` that decided.
        error_type: A code for counting, `[a-z0-9_]{1,40}`, never words of the session; None where nothing failed.
    """

    outcome: str
    rule: str
    error_type: str | None


_RULE_OUTCOMES: Final = {
    # ran and worked
    "json_ok": "ok",
    "exit_zero": "ok",
    "benign_exit": "ok",
    "exit_ignored": "ok",
    "plain_text": "ok",
    "multimodal": "ok",
    "cut_head": "ok",
    "hook_ok": "ok",
    # ran and failed
    "json_error": "error",
    "success_false": "error",
    "flag_error": "error",
    "set_failure": "error",
    "status_error": "error",
    "exit_nonzero": "error",
    "exit_signal": "error",
    "error_text": "error",
    "worker_lost": "error",
    "hook_error": "error",
    # ran out of time
    "status_timeout": "timeout",
    "exit_timeout": "timeout",
    "batch_timeout": "timeout",
    "hook_timeout": "timeout",
    # refused
    "status_blocked": "blocked",
    "guardrail_block": "blocked",
    "scope_block": "blocked",
    "plugin_block": "blocked",
    "hook_blocked": "blocked",
    # interrupted, or skipped before it ran
    "status_interrupted": "cancelled",
    "exit_interrupted": "cancelled",
    "interrupted": "cancelled",
    "not_executed_interrupt": "cancelled",
    "not_executed_new_message": "cancelled",
    "not_executed_other_call": "cancelled",
    "not_executed_shutdown": "cancelled",
    "not_executed_unsaid": "cancelled",
    "hook_cancelled": "cancelled",
    # unusable call
    "status_rejected": "rejected",
    "not_executed_unknown_tool": "rejected",
    "not_executed_blank_name": "rejected",
    "not_executed_bad_arguments": "rejected",
    # the verdict is not in the text
    "no_result": "unknown",
    "orphan_recovery": "unknown",
    "duplicate_output": "unknown",
    "compacted": "unknown",
    "verdict_cut": "unknown",
}
RULES: Final[tuple[str, ...]] = tuple(_RULE_OUTCOMES)


def by(rule: str, error_type: str | None = None) -> Judged:
    """The judgement that a rule gives."""
    return Judged(_RULE_OUTCOMES[rule], rule, error_type)
