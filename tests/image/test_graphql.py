"""The cases of tests/netns/test_graphql.py in the image: its HAProxy reads a body, and asks, by another version of Lua."""

import pytest

from tests.netns.test_graphql import *  # noqa: F403

pytestmark = pytest.mark.image
