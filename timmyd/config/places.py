"""Where things are: settings, state, database, policy and metrics, as a service and as a user."""

from collections.abc import Mapping
from pathlib import Path

from timmyd.config.settings import Settings
from timmyd.errors import ConfigError, Problem

SERVICE_FOLDER = Path("/etc/timmyd")
SERVICE_STATE = Path("/var/lib/timmyd")
_MAIN = "timmyd.toml"


def default_paths(
    env: Mapping[str, str], *, service: bool, folder: Path = SERVICE_FOLDER
) -> list[Path]:
    """The settings files that exist where they are looked for without `--config`, in order.

    Args:
        env: The environment.
        service: As a service: `timmyd.toml` and `conf.d/*.toml` of `folder`, by name; else the user's.
        folder: The service's.

    Raises:
        ConfigError: `conf.d` cannot be listed. Settings that could not be seen are not settings
            that are not there.
    """
    if not service:
        main = _xdg(env, "XDG_CONFIG_HOME", ".config") / "timmyd" / _MAIN
        return [main] if _there(main) else []
    main = folder / _MAIN
    return [*([main] if _there(main) else []), *_more(folder / "conf.d")]


def _there(path: Path) -> bool:
    """Whether there is such a file; one that may not be looked at is there, and reading it will say so."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _more(folder: Path) -> list[Path]:
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if path.suffix == ".toml" and not path.name.startswith(".")
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        problem = Problem(str(folder), f"cannot be read: {error.strerror}")
        raise ConfigError([problem]) from None


def state_dir(env: Mapping[str, str]) -> Path:
    """`$STATE_DIRECTORY` under systemd (its first, of several), else `$XDG_STATE_HOME/timmyd`."""
    service = env.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(service) if service else _xdg(env, "XDG_STATE_HOME", ".local/state") / "timmyd"


def database_path(state: Path) -> Path:
    """The database; its folder belongs to timmyd alone (0700)."""
    return state / "db" / "timmy.db"


def policy_path(settings: Settings, state: Path) -> Path:
    """The policy that the houses obey."""
    return settings.files.policy or state / "policy.json"


def metrics_path(settings: Settings, state: Path) -> Path:
    """The metrics, in the form of the textfile collector."""
    return settings.files.metrics or state / "metrics.prom"


def _xdg(env: Mapping[str, str], name: str, fallback: str) -> Path:
    """An XDG base directory; one that is not absolute is to be ignored (XDG base directories 0.8)."""
    named = Path(env.get(name, ""))
    if named.is_absolute():
        return named
    home = env.get("HOME", "")
    return (Path(home) if home.startswith("/") else Path.home()) / fallback
