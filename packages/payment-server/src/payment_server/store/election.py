"""Elects one process among all that serve a database, for as long as it says that it is there.

No right answer may depend on it: two may believe to be elected while the old one is being paused.
"""

import uuid
from typing import Final

from payment_server.store.database import Database

_STAND: Final = """
UPDATE election SET holder = $1, until = clock_timestamp() + make_interval(secs => $2)
WHERE one AND (until < clock_timestamp() OR holder = $1)
RETURNING true
"""

_RESIGN: Final = "UPDATE election SET until = '-infinity' WHERE one AND holder = $1"


async def stand(database: Database, holder: uuid.UUID, *, lease_seconds: float) -> bool:
    """Whether the holder is the elected one, from now on for so long. Costs the others no write."""
    elected = await database.write(_STAND, holder, lease_seconds, repeatable=True, finishes=True)
    return bool(elected)


async def resign(database: Database, holder: uuid.UUID) -> None:
    """Leaves the place to the next one who stands."""
    await database.write(_RESIGN, holder, repeatable=True, finishes=True)
