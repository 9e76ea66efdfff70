"""The cluster that the tests here share, and checkouts to run on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.checkout import Checkout
from slurm.cluster import Cluster, started, unavailable


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running SLURM; skips where none can be started."""
    if reason := unavailable():
        pytest.skip(reason)
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with quick programs, in which everything before SFT has been made."""
    checkout = Checkout(tmp_path_factory.mktemp("prepared") / "checkout").with_stand_ins()
    checkout.call(*checkout.here("results/tiny/data/problems.parquet", "results/tiny/tiny/base"))
    return checkout


@pytest.fixture
def checkout(cluster: Cluster, prepared: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """A copy of it, whose jobs are gone when the test is over."""
    copy = prepared.copy(tmp_path / "checkout")
    yield copy
    cluster.drain(copy.folder)
