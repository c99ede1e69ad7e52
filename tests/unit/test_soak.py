"""The soak's verdict (tests/soak), which CI does not run."""

from __future__ import annotations

from tests.soak.__main__ import Sample, growth


def level(samples: list[Sample]) -> dict[str, bool]:
    return {name: is_level for name, (_, _, is_level) in growth(samples).items()}


def test_noise_is_level() -> None:
    samples = [Sample(150 + n % 7, 100 + n % 5, 29 + n % 2, 1 + n % 3) for n in range(60)]
    assert set(level(samples).values()) == {True}


def test_slow_growth_is_not() -> None:
    assert not level([Sample(150 + n / 4, 100, 29, 1) for n in range(60)])["memory"]
    assert not level([Sample(150, 100 + n // 3, 29, 1) for n in range(60)])["descriptors"]
    assert not level([Sample(150, 100, 29 + n // 6, 1) for n in range(60)])["threads"]
    assert not level([Sample(150, 100, 29, n / 2) for n in range(60)])["folder"]


def test_a_warm_up_is_left_out() -> None:
    assert set(level([Sample(1, 1, 1, 0)] * 6 + [Sample(150, 100, 29, 1)] * 60).values()) == {True}
