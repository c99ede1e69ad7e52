"""Marks that run a module's tests in several kinds of sandboxes: of root, of an ordinary user, in the image (podman)."""

from __future__ import annotations

import pytest

_ROOT = pytest.param("namespaces", marks=pytest.mark.netns)
_USER = pytest.param("rootless", marks=pytest.mark.netns)
_IMAGE = pytest.param("image", marks=pytest.mark.image)

# All tests of the module must use `begin`, or a sandbox that it started. `-m "not image"` leaves the image out.
BOTH = pytest.mark.parametrize("begin", [_ROOT, _IMAGE], indirect=True)
EVERY = pytest.mark.parametrize("begin", [_ROOT, _USER, _IMAGE], indirect=True)
