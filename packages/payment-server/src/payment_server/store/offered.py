"""What the PostgreSQL server lets us have."""

from typing import Final

from payment_server.store.database import Database

_CONNECTIONS: Final = """
SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)::int
FROM pg_settings
WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""


async def connections_offered(database: Database) -> int:
    """How many connections everybody has together, without those kept for superusers and others."""
    rows = await database.read(_CONNECTIONS)
    offered: int = rows[0][0]
    return offered
