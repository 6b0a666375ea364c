"""What is told of a model's file that does not load."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.boosters.booster import parse, try_in_a_child
from inference.boosters.scores import Shape
from schemas.errors import DataError, ServiceError

SHAPE = Shape(columns=1, outputs=1)


def test_a_loader_that_was_killed_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr("inference.boosters.booster.sys.executable", str(killed))
    with pytest.raises(ServiceError, match=r"model.txt: the process that loads it first was killed from outside"):
        try_in_a_child(b"tree\n", SHAPE, Path("model.txt"))


def test_lightgbms_own_reason_is_told_whole() -> None:
    with pytest.raises(DataError, match=r"^model.txt: LightGBM cannot load it: \S.*[^.]$"):
        parse(b"no model", Path("model.txt"))
