"""A model cut by its trees: consecutive stages, each a model of its own, whose raw scores add up to those of the whole.

The whole is a booster as it is loaded from its file: it has all trees that are meant, and no others. One that has just been trained may have more
(its own `predict` goes up to `best_iteration`): `inference.model.writer` writes it and cuts what was written.
What LightGBM's own `predict` does with the sum is done here after the last stage: GBDT::Predict in src/boosting/gbdt_prediction.cpp, and the ConvertOutput
of each objective in src/objective (LightGBM 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from schemas.errors import SettingError

_Floats = NDArray[np.float64]


def bounds(iterations: int, stages: int) -> list[tuple[int, int]]:
    """First iteration and number of iterations of each stage: equal shares, in order; the number may be 0."""
    cuts = [iterations * stage // stages for stage in range(stages + 1)]
    return [(first, last - first) for first, last in pairwise(cuts)]


def cut(booster: lgb.Booster, stages: int) -> list[str | None]:
    """The model texts of the stages; None of a stage without trees."""
    shares = bounds(booster.current_iteration(), stages)
    return [booster.model_to_string(start_iteration=first, num_iteration=count) if count else None for first, count in shares]


def raw_score(booster: lgb.Booster, matrix: _Floats, *, first: int = 0, count: int = -1) -> _Floats:
    """The sum over some iterations' trees, float64[rows, outputs]; outputs are 1, or the classes of a multiclass model. By one thread."""
    raw = booster.predict(matrix, raw_score=True, start_iteration=first, num_iteration=count, num_threads=1)
    return np.asarray(raw, dtype=np.float64).reshape(len(matrix), -1)


def _sigmoid(raw: _Floats, steepness: float) -> _Floats:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-steepness * raw)))


def _softmax(raw: _Floats, _: float) -> _Floats:
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _same(raw: _Floats, _: float) -> _Floats:
    return raw


def _exponential(raw: _Floats, _: float) -> _Floats:
    return np.asarray(np.exp(raw))


def _logistic_intensity(raw: _Floats, _: float) -> _Floats:
    return np.asarray(np.log1p(np.exp(raw)))


def _signed_square(raw: _Floats, _: float) -> _Floats:
    return np.asarray(np.sign(raw) * raw * raw)


SAME, SIGMOID, SOFTMAX, EXPONENTIAL, LOGISTIC_INTENSITY, SIGNED_SQUARE = range(6)
"""What makes scores of sums."""
_WRITTEN: Mapping[int, Callable[[_Floats, float], _Floats]] = {
    SAME: _same,
    SIGMOID: _sigmoid,
    SOFTMAX: _softmax,
    EXPONENTIAL: _exponential,
    LOGISTIC_INTENSITY: _logistic_intensity,
    SIGNED_SQUARE: _signed_square,
}
_TRANSFORMS: Mapping[str, int] = {
    **dict.fromkeys(("binary", "multiclassova", "cross_entropy"), SIGMOID),
    "multiclass": SOFTMAX,
    "cross_entropy_lambda": LOGISTIC_INTENSITY,
    **dict.fromkeys(("poisson", "gamma", "tweedie"), EXPONENTIAL),
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"), SAME),
}


@dataclass(frozen=True, kw_only=True)
class Link:
    """From the sum over all trees to the score.

    Attributes:
        objective: As the model's file says it, e.g. `binary sigmoid:1`.
        average_over: What the sum is divided by: the iterations of a random forest, otherwise 1.
    """

    objective: str
    average_over: int = 1

    def __post_init__(self) -> None:
        """Refuse an objective whose transformation is not known.

        Raises:
            SettingError: Which, and those that are.
        """
        if self._name not in _TRANSFORMS:
            raise SettingError(f"objective {self._name}: cannot be cut by its trees; allowed are {', '.join(sorted(_TRANSFORMS))}")

    @classmethod
    def of(cls, booster: lgb.Booster) -> Self:
        """Of a whole model."""
        head = booster.model_to_string(num_iteration=1).partition("\nTree=")[0].splitlines()
        said = {name: value for name, _, value in (line.partition("=") for line in head)}
        return cls(
            objective=said.get("objective", "regression"),  # a model with an objective of the user's own gives its raw score
            average_over=booster.current_iteration() if "average_output" in said else 1,
        )

    @property
    def _name(self) -> str:
        return self.objective.split()[0]

    @cached_property
    def _options(self) -> dict[str, str]:
        return dict(option.partition(":")[::2] for option in self.objective.split()[1:])

    @property
    def transform(self) -> int:
        """Which of those above."""
        return SIGNED_SQUARE if "sqrt" in self._options else _TRANSFORMS[self._name]

    @property
    def steepness(self) -> float:
        """Of the sigmoid."""
        return float(self._options.get("sigmoid", 1))

    def score(self, raw: _Floats) -> _Floats:
        """float64[rows, outputs] → the same shape."""
        return _WRITTEN[self.transform](raw / self.average_over, self.steepness)

    def json(self) -> dict[str, Any]:
        """As a manifest says it."""
        return {"objective": self.objective, "average_over": self.average_over}
