"""What ships beside the code: unit files, man pages, alert rules, the dashboard, the sample of the settings."""

from pathlib import Path
from typing import Final

_INSTALLED: Final = Path(__file__).resolve().parents[1] / "shipped"
_CHECKOUT: Final = Path(__file__).resolve().parents[2]


def shipped(name: str) -> Path:
    """The path of a file such as `systemd/install`, in a wheel or in a checkout.

    Raises:
        FileNotFoundError: There is none of that name: the installation is damaged.
    """
    for folder in (_INSTALLED, _CHECKOUT):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(
        2, "is missing from this installation of timmyd", str(_INSTALLED / name)
    )


def checkout() -> Path | None:
    """The checkout that this code runs from; None where it is installed."""
    return _CHECKOUT if (_CHECKOUT / "pyproject.toml").exists() else None
