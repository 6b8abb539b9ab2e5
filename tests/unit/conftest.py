"""Makes the stand-ins (`fake_*.py`) importable for the tests beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
