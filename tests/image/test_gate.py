"""The cases of tests/netns/test_gate.py in the image: its HAProxy, its nft, its Python, no more rights than it needs."""

import pytest

from tests.netns.test_gate import *  # noqa: F403

pytestmark = pytest.mark.image
