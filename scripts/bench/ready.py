"""How the bench's own servers say where they serve: as those of the packages do, in a file."""

import json
import os
from pathlib import Path


def write_ready(path: Path, **ports: int) -> None:
    """Appears whole or not at all, for whoever waits for it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(ports), encoding="utf-8")
    draft.replace(path)
