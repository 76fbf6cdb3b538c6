"""The settings: defaults, every problem at once with its place, contradictions, sample and schema."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from timmyd.config import (
    Settings,
    database_path,
    default_paths,
    diff,
    load,
    metrics_path,
    parse,
    policy_path,
    sample,
    schema,
    state_dir,
)
from timmyd.core.judging.rules import DEFAULT_RULES
from timmyd.core.tasks import DEFAULT_TASKS, TaskTable
from timmyd.errors import ConfigError
from timmyd.house.policy import KEYS

SHIPPED = Path(__file__).parents[2] / "config" / "timmyd.toml"


def wrong(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "t.toml")
    return [str(problem) for problem in caught.value.problems]


def uncommented() -> str:
    return re.sub(r"(?m)^#(?! |$)", "", sample())


def test_defaults_are_those_of_the_contract() -> None:
    settings = Settings()

    assert settings.houses == ()
    assert settings.files.largest_bytes == 64 * 1024 * 1024
    assert settings.schedule.tick_s == 30.0
    assert settings.schedule.on_evidence is True
    assert settings.schedule.settle_s == 0.25
    assert settings.schedule.rescan_s == 60.0
    assert (settings.publish.mode, settings.publish.life_s) == ("enforce", 900.0)
    assert settings.retention.executions_s == 90 * 86_400
    assert settings.retention.patterns_s == 30 * 86_400
    assert settings.retention.hours_s == 35 * 86_400
    assert settings.retention.days_s == 400 * 86_400
    assert settings.evidence.limit_runs == 10_000
    assert settings.evidence.cluster_idle_s == 900.0
    assert settings.evidence.cluster_size == 50
    assert settings.evidence.cluster_age_s == 21_600.0
    assert (settings.choice.exploration, settings.choice.minimum) == (0.02, 20)
    assert settings.breaker.open_at == 300.0
    assert (settings.breaker.wait_s, settings.breaker.wait_max_s) == (30.0, 240.0)
    assert (settings.breaker.probe_every_s, settings.breaker.most_open) == (5.0, 0.5)
    assert settings.breaker.mode == "enforce"
    assert settings.policies["ezra.evidence_threshold"].default == 0.8
    assert set(settings.policies) == set(KEYS)
    assert settings.rules == DEFAULT_RULES
    assert dict(settings.tasks) == dict(DEFAULT_TASKS)
    assert (settings.log.level, settings.log.format) == ("info", "auto")
    assert settings.clock.zone == "system"


def test_an_empty_file_is_all_defaults() -> None:
    assert parse("", "t.toml") == Settings()
    assert load([]) == Settings()


def test_settings_cannot_be_changed() -> None:
    settings = parse('[prices.x]\nper_million_in = 1\n[tasks]\nread = ["a"]', "t.toml")

    with pytest.raises(AttributeError):
        settings.schedule.tick_s = 1.0  # type: ignore[misc]
    for table in (settings.policies, settings.prices, settings.outcomes, settings.tasks):
        with pytest.raises(TypeError):
            table["x"] = None  # type: ignore[index]


def test_every_table_of_the_contract_is_read() -> None:
    settings = parse(
        """
        [[houses]]
        name = "ezra"
        home = "/home/ezra/.hermes"
        sources = ["telemetry", "state_db"]
        [[houses]]
        name = "bezalel"
        sessions = "/srv/sessions"
        [files]
        policy = "/run/p.json"
        largest = "10MB"
        [schedule]
        settle = "1s500ms"
        [policies."timmy.evidence_threshold"]
        default = 0.7
        pin = 0.75
        [[rules]]
        name = "low_ezra_success_rate"
        limit = 0.55
        guard = "turns_completed"
        [[rules]]
        name = "slow_tests"
        policy = "bezalel.parallel_test_threshold"
        signal = "latency_p95"
        task = "test"
        limit = 90_000
        side = "above"
        direction = "raise"
        cooldown = "1d"
        mode = "observe"
        [tasks]
        judge = ["patch", "terminal:git blame"]
        [outcomes.terminal]
        exit_code = "ignore"
        [prices."hermes3:8b"]
        per_million_out = 2
        [clock]
        zone = "UTC"
        """,
        "t.toml",
    )

    assert [house.name for house in settings.houses] == ["ezra", "bezalel"]
    assert settings.houses[0].home == Path("/home/ezra/.hermes")
    assert settings.houses[0].sources == ("telemetry", "state_db")
    assert settings.houses[1].sessions == Path("/srv/sessions")
    assert settings.files.largest_bytes == 10_000_000
    assert settings.schedule.settle_s == 1.5
    assert settings.policies["timmy.evidence_threshold"].pin == 0.75
    assert settings.policies["timmy.evidence_threshold"].step == 0.1
    ezra = next(rule for rule in settings.rules if rule.name == "low_ezra_success_rate")
    assert (ezra.limit, ezra.guards, ezra.task) == (0.55, ("turns_completed",), "build")
    assert len(settings.rules) == len(DEFAULT_RULES) + 1
    assert settings.rules[-1].cooldown == 86_400.0
    assert settings.tasks["judge"] == ("patch", "terminal:git blame")
    assert settings.outcomes["terminal"].exit_code == "ignore"
    assert settings.prices["hermes3:8b"].per_million_out == 2.0
    assert settings.prices["hermes3:8b"].per_million_in == 0.0


def test_a_rule_may_watch_for_a_fall_below_the_own_level() -> None:
    settings = parse('[[rules]]\nname = "low_ezra_success_rate"\nside = "fallen"\nlimit = 0.1', "t")
    wrong_signal = (
        '[[rules]]\nname = "low_ezra_success_rate"\nsignal = "latency_p95"\nside = "fallen"'
    )

    ezra = next(rule for rule in settings.rules if rule.name == "low_ezra_success_rate")
    assert (ezra.side, ezra.limit) == ("fallen", 0.1)
    assert any("expected above" in problem for problem in wrong(wrong_signal))


def test_a_tool_that_is_moved_leaves_its_default_type() -> None:
    settings = parse('[tasks]\njudge = ["patch"]', "t.toml")

    assert "patch" in DEFAULT_TASKS["build"]
    assert "patch" not in settings.tasks["build"]
    assert len(settings.tasks["build"]) == len(DEFAULT_TASKS["build"]) - 1
    assert TaskTable.of(settings.tasks).task_type("patch", "") == "judge"


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    found = wrong('[log]\nlevel = "loud"\n\n[schedule]\ntick = 30\nresan = "1m"\n')

    assert [problem.split(": ")[0] for problem in found] == ["t.toml:2", "t.toml:5", "t.toml:6"]
    assert found[0] == (
        't.toml:2: log.level: expected "debug", "info", "warning" or "error", got "loud"'
    )
    assert found[1].startswith('t.toml:5: schedule.tick: expected a duration from "100ms" to "1h"')
    assert found[2] == 't.toml:6: schedule.resan: is not a setting\n  hint: did you mean "rescan"?'


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("polices = 1", "t.toml:1: polices", 'did you mean "policies"?'),
        ('tick = "1s"', "t.toml:1: tick", "it belongs under [schedule]"),
        ('[publish]\ntick = "1s"', "t.toml:2: publish.tick", "it belongs under [schedule]"),
        ("schedule = 3", "t.toml:1: schedule", "expected a table, got 3"),
        ("houses = 3", "t.toml:1: houses", "expected tables, each under [[houses]]"),
        ("[houses]\nname='x'", "t.toml:1: houses", "expected tables, each under [[houses]]"),
        ('[schedule]\ntick = "0s"', "t.toml:2: schedule.tick", 'got "0s"'),
        ('[schedule]\ntick = "2 s"', "t.toml:2: schedule.tick", '"1h30m"'),
        ('[schedule]\ntick = "1m1h"', "t.toml:2: schedule.tick", "expected a duration"),
        ("[schedule]\non_evidence = 1", "t.toml:2: schedule.on_evidence", "true or false"),
        ('[files]\nlargest = "64"', "t.toml:2: files.largest", "with a unit"),
        ("[files]\nlargest = 64", "t.toml:2: files.largest", "expected a size"),
        ('[files]\npolicy = "p.json"', "t.toml:2: files.policy", "an absolute path"),
        ("[choice]\nexploration = nan", "t.toml:2: choice.exploration", "got nan"),
        ("[choice]\nexploration = true", "t.toml:2: choice.exploration", "got true"),
        ("[choice]\nminimum = 20.0", "t.toml:2: choice.minimum", "a whole number"),
        ("[choice]\nminimum = " + "9" * 99, "t.toml:2: choice.minimum", "a huge number"),
        ("[breaker]\nmode = 1979-05-27", "t.toml:2: breaker.mode", "a date or a time"),
        ('[[houses]]\nhome="/a"', "t.toml:1: houses[0]", "expected the name of the house"),
        ('[[houses]]\nname="a"', "t.toml:1: houses[0]", "expected home, or sessions"),
        (
            '[[houses]]\nname="a"\nhome="/a"\nsessions="/b"',
            "t.toml:4: houses[0].sessions",
            "expected either home or sessions, got both",
        ),
        ('[[houses]]\nname="A"\nhome="/a"', "t.toml:2: houses[0].name", "a house name"),
        ('[[houses]]\nname="routing"\nhome="/a"', "t.toml:2: houses[0].name", "whole fleet"),
        (
            '[[houses]]\nname="a"\nhome="/a"\n[[houses]]\nname="a"\nhome="/b"',
            "t.toml:5: houses[1].name",
            'is the second house named "a"',
        ),
        (
            '[[houses]]\nname="a"\nhome="/a"\n[[houses]]\nname="b"\nhome="/a"',
            "t.toml:6: houses[1].home",
            "/a is already house \"a\"'s",
        ),
        (
            '[[houses]]\nname="a"\nhome="/a"\nsources=["telemetri"]',
            "t.toml:4: houses[0].sources",
            'got "telemetri" in it\n  hint: did you mean "telemetry"?',
        ),
        (
            '[[houses]]\nname="a"\nsessions="/a"\nsources=["state_db"]',
            "t.toml:4: houses[0].sources",
            "state_db is in a Hermes home",
        ),
        ("[policies.ezra.evidence_threshold]\nstep=1", "t.toml:1: policies.ezra", "quote it"),
        (
            '[policies."ezra.evidence_treshold"]',
            't.toml:1: policies."ezra.evidence_treshold"',
            'did you mean "ezra.evidence_threshold"?',
        ),
        (
            '[policies."ezra.evidence_threshold"]\nleast=0.9\nmost=0.7',
            't.toml:3: policies."ezra.evidence_threshold".most',
            "least 0.9 is above most 0.7",
        ),
        (
            '[policies."ezra.evidence_threshold"]\nmost=0.7',
            't.toml:2: policies."ezra.evidence_threshold".most',
            "default 0.8 is outside of 0.6 to 0.7",
        ),
        (
            '[policies."ezra.evidence_threshold"]\nstep=0.0',
            't.toml:2: policies."ezra.evidence_threshold".step',
            "above 0",
        ),
        (
            '[policies."ezra.evidence_threshold"]\nstep=0.5',
            't.toml:2: policies."ezra.evidence_threshold".step',
            "step 0.5 is wider than 0.6 to 0.95",
        ),
        (
            '[policies."ezra.evidence_threshold"]\npin=1.0',
            't.toml:2: policies."ezra.evidence_threshold".pin',
            "expected 0.05 to 0.99, got 1",
        ),
        ('[[rules]]\nname="mine"', "t.toml:1: rules[0]", "expected policy: "),
        (
            '[[rules]]\nname="low_ezra_success_rate"\npolicy="ezra.x"',
            "t.toml:3: rules[0].policy",
            'no policy is named "ezra.x"',
        ),
        (
            '[[rules]]\nname="low_ezra_success_rate"\npolicy="timmy.evidence_threshold"',
            "t.toml:3: rules[0].policy",
            'give it a table: [policies."timmy.evidence_threshold"]',
        ),
        (
            '[[rules]]\nname="low_ezra_success_rate"\nlimit=60',
            "t.toml:3: rules[0].limit",
            "expected a share between 0 and 1",
        ),
        (
            '[[rules]]\nname="low_ezra_success_rate"\nguard="success_rate"',
            "t.toml:3: rules[0].guard",
            '"success_rate" cannot guard itself',
        ),
        (
            '[[rules]]\nname="low_ezra_success_rate"\n[[rules]]\nname="low_ezra_success_rate"',
            "t.toml:4: rules[1].name",
            "is the second rule named",
        ),
        ('[tasks]\nreed=["a"]', "t.toml:2: tasks.reed", 'did you mean "read"?'),
        ('[tasks]\nread=["a "]', "t.toml:2: tasks.read", 'got "a " in it'),
        ('[tasks]\nread=["a","a"]', "t.toml:2: tasks.read", 'got "a" twice'),
        ('[tasks]\nread=["a"]\ntest=["a"]', "t.toml:3: tasks.test", 'in both read and test'),
        ("[outcomes.x]\nexit=1", "t.toml:2: outcomes.x.exit", "is not a setting"),
        ("[prices.x]\nper_million_in=-1", "t.toml:2: prices.x.per_million_in", "got -1"),
        ('[clock]\nzone="Europe/Vena"', "t.toml:2: clock.zone", "knows no time zone"),
        ('[clock]\nzone="../etc"', "t.toml:2: clock.zone", "expected a time zone"),
        (
            '[breaker]\nwait="5m"',
            "t.toml:2: breaker.wait",
            "breaker.wait_max 4m is shorter than breaker.wait, 5m",
        ),
        (
            '[publish]\nlife="59s"',
            "t.toml:2: publish.life",
            "publish.life 59s is shorter than twice schedule.tick, 30s",
        ),
        ('[retention]\nhours="401d"', "t.toml:2: retention.hours", "days are made of hours"),
    ],
)  # fmt: skip
def test_a_problem_names_its_place_and_what_was_expected(text: str, place: str, words: str) -> None:
    found = wrong(text)

    assert len([p for p in found if words in p]) == 1, found
    assert next(p for p in found if words in p).startswith(place + ": ")


def test_a_value_that_is_wrong_is_not_said_to_contradict_another() -> None:
    assert len(wrong('[breaker]\nwait = "5m"\nwait_max = "soon"')) == 1
    assert len(wrong('[policies."ezra.evidence_threshold"]\nmost = "high"\nleast = 0.9')) == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = ", "t.toml:1: "),
        ("[a]\nb == 1", "t.toml:2:4: "),
        ("a = 1\na = 2", "t.toml:2: "),
        ("a = " + "9" * 5000, "t.toml: "),
        ("a = " + "[" * 5000 + "]" * 5000, "t.toml"),
        ('a = "\x1b[31m"', "t.toml:1:6: "),
    ],
)
def test_what_is_no_toml_is_reported_with_its_line(text: str, place: str) -> None:
    (problem,) = wrong(text)

    assert problem.startswith(place)
    assert "expected TOML" in problem
    assert problem.isprintable()


def test_lines_are_found_through_long_lists_strings_and_inline_tables() -> None:
    text = (
        "houses = [\n  {name = 'a', home = '/a'}, # ]\n  {name = 'b', home = 'b'},\n]\n"
        "[tasks]\nread = [\n  'x',\n  '''y]''',\n]\nbuild = 1\n[log] # [x]\n'level' = 'no'\n"
    )

    assert [problem.split(": expected")[0] for problem in wrong(text)] == [
        "t.toml:1: houses[1].home",
        "t.toml:10: tasks.build",
        "t.toml:12: log.level",
    ]


def test_later_files_win_key_by_key_and_houses_add_up(tmp_path: Path) -> None:
    (one, two) = (tmp_path / "timmyd.toml", tmp_path / "a.toml")
    one.write_text(
        '[[houses]]\nname="a"\nhome="/a"\n[schedule]\ntick="10s"\nrescan="5m"\n'
        '[[rules]]\nname="low_ezra_success_rate"\nlimit=0.5\n'
        '[policies."ezra.evidence_threshold"]\ndefault=0.7\n'
    )
    two.write_text(
        '[[houses]]\nname="b"\nhome="/b"\n[schedule]\ntick="20s"\n'
        '[[rules]]\nname="low_ezra_success_rate"\nmode="observe"\n'
        '[policies."ezra.evidence_threshold"]\nstep=0.05\n'
    )

    settings = load([one, two])

    assert [house.name for house in settings.houses] == ["a", "b"]
    assert (settings.schedule.tick_s, settings.schedule.rescan_s) == (20.0, 300.0)
    assert (settings.rules[0].limit, settings.rules[0].mode) == (0.5, "observe")
    spec = settings.policies["ezra.evidence_threshold"]
    assert (spec.default, spec.step) == (0.7, 0.05)


def test_problems_of_all_files_are_reported_together(tmp_path: Path) -> None:
    names = ("timmyd.toml", "1.toml", "2.toml", "3.toml", "4.toml", "5.toml")
    files = [tmp_path / name for name in names]
    files[0].write_text('[[houses]]\nname="a"\nhome="/a"\n[log]\nlevel="x"\n')
    files[1].write_text('\n[[houses]]\nname="a"\nhome="/b"\n')
    files[2].write_text("[log\n")
    files[3].write_bytes(b"# ok\n# \xff\n")
    files[4].mkdir()

    with pytest.raises(ConfigError) as caught:
        load(files)

    found = [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]
    assert [problem.split(": ")[0] for problem in found] == [
        "timmyd.toml:5",
        "1.toml:3",
        "2.toml:1:5",
        "3.toml:2",
        "4.toml",
        "5.toml",
    ]
    assert found[3] == "3.toml:2: expected UTF-8, got byte 0xff"
    assert found[4] == "4.toml: expected a regular file"
    assert found[5].startswith("5.toml: cannot be read: No such file or directory\n  hint: ")


def test_a_home_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ezra")

    settings = parse('[[houses]]\nname="ezra"\nhome="~/.hermes"', "t.toml")

    assert settings.houses[0].home == Path("/home/ezra/.hermes")


def test_the_shipped_file_is_the_sample() -> None:
    assert SHIPPED.read_text() == sample(), "write it anew: timmyd.config.sample()"


def test_the_sample_changes_nothing() -> None:
    assert parse(sample(), "sample") == Settings()


def test_the_uncommented_sample_is_complete_and_says_the_defaults() -> None:
    text = uncommented()
    settings = parse(text, "sample")

    changed = {key.split(".")[0] for key in diff(Settings(), settings)}
    assert changed == {"budget", "houses", "notify", "outcomes", "prices"}
    data = tomllib.loads(text)
    optional = {
        "home",
        "sessions",
        "pin",
        "house",
        "tool",
        "task",
        "guard",
        "policy",
        "metrics",
        "report",
    }
    optional |= {
        f"{unit}_per_{window}"
        for unit in ("money", "tokens")
        for window in ("hour", "day", "month", "turn")
    }
    optional |= {"quiet", "webhook", "apprise", "body", "headers", "over", "over_body"}
    for name, table in schema()["properties"].items():
        entries: list[dict[str, Any]] = [data[name]]
        inner = table
        if table["type"] == "array":
            entries, inner = data[name], table["items"]
        elif not table.get("properties"):
            entries, inner = list(data[name].values()), table["additionalProperties"]
        for entry in entries:
            assert set(inner["properties"]) - set(entry) <= optional


def test_the_schema_is_valid_and_takes_what_the_sample_says() -> None:
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())

    validator.validate(tomllib.loads(uncommented()))
    assert msgspec.json.decode(msgspec.json.encode(schema())) == schema()


@pytest.mark.parametrize(
    "text",
    [
        'ticks = "1s"',
        "[schedule]\ntick = 30",
        '[schedule]\ntick = "1m1h"',
        "[choice]\nexploration = 0.9",
        '[[houses]]\nname = "a"',
        '[policies."routing.evidence_threshold"]\ndefault = 0.5',
        '[policies."ezra.evidence_threshold"]\nstep = 0',
        '[tasks]\nread = ["a "]',
    ],
)
def test_the_schema_refuses_what_parsing_refuses(text: str) -> None:
    wrong(text)

    assert list(Draft202012Validator(schema()).iter_errors(tomllib.loads(text)))


def test_diff_names_the_changed_keys() -> None:
    old = parse('[[houses]]\nname="a"\nhome="/a"\n', "old")
    new = parse(
        '[schedule]\ntick="10s"\n[files]\nlargest="1MiB"\n[tasks]\ntest=["x"]\n'
        '[policies."timmy.evidence_threshold"]\npin=0.5\n'
        '[[rules]]\nname="low_ezra_success_rate"\ncooldown="1h"\n',
        "new",
    )

    changed = diff(old, new)

    assert set(changed) >= {
        "schedule.tick",
        "files.largest",
        "tasks.test",
        'policies."timmy.evidence_threshold".pin',
        "rules.low_ezra_success_rate.cooldown",
        "houses.a.home",
    }
    assert diff(new, new) == []


def test_the_service_reads_its_file_and_then_conf_d_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    (folder / "conf.d").mkdir(parents=True)
    for name in ("b.toml", "a.toml", ".hidden.toml", "c.conf"):
        (folder / "conf.d" / name).touch()

    without = default_paths({}, service=True, folder=folder)
    (folder / "timmyd.toml").touch()

    assert [path.name for path in without] == ["a.toml", "b.toml"]
    assert [path.name for path in default_paths({}, service=True, folder=folder)] == [
        "timmyd.toml",
        "a.toml",
        "b.toml",
    ]


def test_settings_that_cannot_be_listed_are_not_taken_for_absent(tmp_path: Path) -> None:
    (tmp_path / "conf.d").touch()

    with pytest.raises(ConfigError, match=r"conf\.d: cannot be read: Not a directory"):
        default_paths({}, service=True, folder=tmp_path)


def test_a_user_has_one_file_under_the_xdg_directories(tmp_path: Path) -> None:
    main = tmp_path / ".config" / "timmyd" / "timmyd.toml"
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative/is/ignored"}

    assert default_paths(env, service=False) == []
    main.parent.mkdir(parents=True)
    main.touch()
    assert default_paths(env, service=False) == [main]
    assert default_paths({"XDG_CONFIG_HOME": str(tmp_path / ".config")}, service=False) == [main]


def test_state_lies_where_the_contract_says() -> None:
    assert state_dir({"STATE_DIRECTORY": "/var/lib/timmyd:/x"}) == Path("/var/lib/timmyd")
    assert state_dir({"HOME": "/h"}) == Path("/h/.local/state/timmyd")
    assert state_dir({"HOME": "/h", "XDG_STATE_HOME": "/s"}) == Path("/s/timmyd")
    assert database_path(Path("/s")) == Path("/s/db/timmy.db")
    assert policy_path(Settings(), Path("/s")) == Path("/s/policy.json")
    assert metrics_path(Settings(), Path("/s")) == Path("/s/metrics.prom")
    named = parse('[files]\npolicy="/p"\nmetrics="/m"', "t")
    assert policy_path(named, Path("/s")) == Path("/p")
    assert metrics_path(named, Path("/s")) == Path("/m")
