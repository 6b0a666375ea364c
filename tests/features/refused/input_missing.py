# {file}:6: TypeError: Sum() missing 1 required positional argument: 'input'
from __future__ import annotations

from features import Sum

v = Sum()
