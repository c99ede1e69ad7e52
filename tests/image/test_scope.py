"""The cases of tests/netns/test_scope.py in the image: its HAProxy normalises paths, matches and asks by another version."""

import pytest

from tests.netns.test_scope import *  # noqa: F403

pytestmark = pytest.mark.image
