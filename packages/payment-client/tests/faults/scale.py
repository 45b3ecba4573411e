"""How long the tests marked `scaled` run."""

import os
from typing import Final

SCALE: Final = int(os.environ.get("TEST_SCALE", "1"))
"""How many times as long as under `make test`, where it is 1."""
