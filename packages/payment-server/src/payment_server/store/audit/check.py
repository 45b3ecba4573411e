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


STEPS: Final = """
  SELECT merchant_id, payment_id, version, lag(version) OVER life AS version_before, type,
    status_before, lag(status) OVER life AS status_of_last, status,
    transaction_id, lag(transaction_id) OVER life AS transaction_before
  FROM events WINDOW life AS (PARTITION BY merchant_id, payment_id ORDER BY version)
"""
"""Each event, and some of the one before it."""

HISTORY: Final = """
  SELECT e.merchant_id, e.payment_id, e.version, lag(e.version) OVER life AS version_before,
    e.type, e.status, e.customer_id, e.occurred_at, e.snapshot ->> 'format_version' AS format,
    s AS after, lag(s) OVER life AS before
  FROM events AS e CROSS JOIN LATERAL json_populate_record(NULL::payments,
    CASE json_typeof(e.snapshot -> 'payment') WHEN 'object' THEN e.snapshot -> 'payment' END) AS s
  WINDOW life AS (PARTITION BY e.merchant_id, e.payment_id ORDER BY e.version)
"""
"""Each event, with its snapshot and the one before it as rows of payments."""
