"""Makes the child's module importable here and in the children."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config):  # type: ignore[no-untyped-def]
    """Known with and without pytest-xdist."""
    config.addinivalue_line("markers", "xdist_group(name): tests that run on one worker")
