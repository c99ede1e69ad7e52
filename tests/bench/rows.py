"""Rows of the benchmark table, and the register of measurements that `make bench` runs.

A measurement is a function that yields rows. `@measures("boot_to_ready", ...)` names its rows, so that it can be run alone and
its failure can be reported. It must be bounded in time and send traffic only inside namespaces that it made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value and its bounds. `yardstick` names the comparison, `beside` is the comparison's value, same unit."""

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    yardstick: str = ""
    beside: float | None = None

    @property
    def ratio(self) -> float | None:
        """The value divided by the yardstick's; None without a yardstick or if it is 0."""
        return self.value / self.beside if self.beside else None

    @property
    def holds(self) -> bool:
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    @property
    def bound(self) -> str:
        bounds = [f"<= {self.most:g}"] if self.most is not None else []
        bounds += [f">= {self.least:g}"] if self.least is not None else []
        return " ".join(bounds) + ("" if self.holds else " MISSED")

    def as_json(self) -> dict[str, object]:
        body: dict[str, object] = {"name": self.name, "value": round(self.value, 3), "unit": self.unit}
        if self.yardstick:
            ratio = None if self.ratio is None else round(self.ratio, 4)
            body["yardstick"] = {"name": self.yardstick, "value": round(self.beside or 0.0, 3), "ratio": ratio}
        return body


Measurement = Callable[[], Iterable[Row]]
_REGISTER: dict[tuple[str, ...], Measurement] = {}


def measures(*names: str) -> Callable[[Measurement], Measurement]:
    """Registers a function that yields one row for each of these names."""

    def register(measurement: Measurement) -> Measurement:
        _REGISTER[names] = measurement
        return measurement

    return register


def register() -> Mapping[tuple[str, ...], Measurement]:
    return _REGISTER


def table(rows: Iterable[Row]) -> str:
    """Formats the rows as aligned text and marks missed bounds."""
    lines = [("name", "value", "unit", "bound", "beside", "ratio")]
    for row in rows:
        beside = f"{row.yardstick}: {row.beside:.4g}" if row.yardstick and row.beside is not None else ""
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        lines.append((row.name, f"{row.value:.4g}", row.unit, row.bound, beside, ratio))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
