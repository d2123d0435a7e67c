"""The bundle that `make test-bundle` has made."""

import os
import shutil
from pathlib import Path

import pytest

BUNDLE = os.environ.get("BUNDLE", "")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, unpacked."""
    if not BUNDLE:
        pytest.skip("BUNDLE names no archive: `make test-bundle` makes one, and takes the network")
    shutil.unpack_archive(BUNDLE, folder := tmp_path_factory.mktemp("unpacked"), filter="data")
    (bundle,) = folder.iterdir()
    return bundle
