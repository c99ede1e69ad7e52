"""A mark that runs a module's tests twice: in namespaces of this machine, and in the image booted by podman."""

from __future__ import annotations

import pytest

# All tests of the module must use `begin`, or a sandbox that it started. `-m "not image"` leaves the image out.
BOTH = pytest.mark.parametrize(
    "begin",
    [pytest.param("namespaces", marks=pytest.mark.netns), pytest.param("image", marks=pytest.mark.image)],
    indirect=True,
)
