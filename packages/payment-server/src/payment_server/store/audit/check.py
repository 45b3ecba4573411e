"""What a check is, and how checks read history. It must never import the service's statements."""

from typing import Final

import msgspec


class Check(msgspec.Struct, frozen=True):
    """A fact that must hold, as a sentence; `sql` finds what contradicts it.

    Its rows are (merchant_id, payment_id, difference). They tell ids, amounts, statuses, versions
    and times, and never what a caller wrote.
    """

    name: str
    sentence: str
    sql: str


HISTORY: Final = """
  SELECT e.merchant_id, e.payment_id, e.version, e.type, e.status_before, e.status,
    s AS after, lag(s) OVER life AS before,
    lag(e.version) OVER life AS version_before, lag(e.status) OVER life AS status_of_last,
    e.transaction_id, lag(e.transaction_id) OVER life AS transaction_before,
    e.event_id, e.customer_id, e.occurred_at, e.snapshot
  FROM events AS e CROSS JOIN LATERAL json_populate_record(NULL::payments,
    CASE json_typeof(e.snapshot -> 'payment') WHEN 'object' THEN e.snapshot -> 'payment' END) AS s
  WINDOW life AS (PARTITION BY e.merchant_id, e.payment_id ORDER BY e.version)
"""
"""Each event, with its snapshot and the one before it as rows of payments."""
