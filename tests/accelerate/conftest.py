"""An acceleration for a test, ended after it."""

import pytest

from mlfund import accelerate
from mlfund.accelerate._record import active


@pytest.fixture
def record():
    """What the acceleration of this test does."""
    with accelerate.install(quiet=True):
        yield active()
