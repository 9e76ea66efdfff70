"""The cluster that the tests here share, and checkouts to run on it."""

from collections.abc import Iterator

import pytest

from slurm.cluster import Cluster, started, unavailable


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running SLURM; skips where none can be started."""
    if reason := unavailable():
        pytest.skip(reason)
    with started() as running:
        yield running
