"""Makes the modules here importable, and the runner of the case files with its bag comparison."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "slt"), str(HERE.parent / "property")]
