"""Where the same cases run: in namespaces of this machine, and in the image booted by podman."""

from __future__ import annotations

import pytest

# A module's mark: all of its tests take `begin`, or a sandbox that it has started. `-m "not image"` leaves the image out.
BOTH = pytest.mark.parametrize(
    "begin",
    [pytest.param("namespaces", marks=pytest.mark.netns), pytest.param("image", marks=pytest.mark.image)],
    indirect=True,
)
