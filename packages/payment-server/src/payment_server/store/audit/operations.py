"""Checks of operations and refunds: what was asked of the processor accounts for every amount."""

from typing import Final

from payment_server.store.audit.check import HISTORY, Check

# What time released has no operation: a hold that lapsed released all that was left of it.
_AMOUNTS: Final = f"""
WITH history AS ({HISTORY}), asked AS (
  SELECT merchant_id, payment_id,
    sum(amount_minor) FILTER (WHERE status = 'succeeded' AND kind IN ('authorize', 'complete'))
      AS authorized,
    sum(amount_minor) FILTER (WHERE status = 'succeeded' AND (kind = 'capture' OR captures))
      AS captured,
    sum(amount_minor) FILTER (WHERE status = 'pending' AND kind = 'capture') AS capture_pending,
    sum(CASE kind WHEN 'cancel' THEN amount_minor ELSE released_minor END)
      FILTER (WHERE status = 'succeeded') AS voided,
    sum(CASE kind WHEN 'cancel' THEN amount_minor ELSE released_minor END)
      FILTER (WHERE status = 'pending') AS void_pending,
    bool_or(kind = 'cancel' AND status = 'succeeded') AS is_closed_by_cancel
  FROM operations GROUP BY merchant_id, payment_id
), lapsed AS (
  SELECT merchant_id, payment_id, (after).voided_minor - (before).voided_minor AS voided
  FROM history LEFT JOIN asked USING (merchant_id, payment_id)
  WHERE type = 'payment.expired'
    OR (type = 'payment.capture_closed' AND is_closed_by_cancel IS NOT TRUE))
SELECT merchant_id, payment_id, format('%s is %s, the operations say %s',
  amount, told, coalesce(found, 0)) AS difference
FROM payments AS p LEFT JOIN asked USING (merchant_id, payment_id)
LEFT JOIN lapsed USING (merchant_id, payment_id)
CROSS JOIN LATERAL (VALUES
  ('authorized', p.authorized_minor, asked.authorized),
  ('captured', p.captured_minor, asked.captured),
  ('capture_pending', p.capture_pending_minor, asked.capture_pending),
  ('voided', p.voided_minor, coalesce(asked.voided, 0) + coalesce(lapsed.voided, 0)),
  ('void_pending', p.void_pending_minor, asked.void_pending)) AS compared (amount, told, found)
WHERE told <> coalesce(found, 0)
"""

_PROCESSING: Final = """
WITH deciding AS (
  SELECT merchant_id, payment_id, count(*) AS operations FROM operations
  WHERE status = 'pending' AND kind IN ('authorize', 'complete')
  GROUP BY merchant_id, payment_id)
SELECT merchant_id, payment_id, format('is %s and has %s authorizations under way',
  status, coalesce(operations, 0)) AS difference
FROM payments LEFT JOIN deciding USING (merchant_id, payment_id)
WHERE coalesce(operations, 0) <> CASE status WHEN 'processing' THEN 1 ELSE 0 END
"""

_ATTEMPTS: Final = """
WITH asked AS (
  SELECT merchant_id, payment_id, count(*) AS times FROM operations WHERE kind = 'authorize'
  GROUP BY merchant_id, payment_id)
SELECT merchant_id, payment_id, format('has %s attempts and %s authorizations',
  attempts, coalesce(times, 0)) AS difference
FROM payments LEFT JOIN asked USING (merchant_id, payment_id)
WHERE attempts <> coalesce(times, 0)
"""

_HAVE_A_PAYMENT: Final = """
SELECT merchant_id, payment_id, format('operation %s has no payment', operation_id) AS difference
FROM operations AS o LEFT JOIN payments AS p USING (merchant_id, payment_id)
WHERE p.payment_id IS NULL
"""

# Without a lease nobody would ever look it up.
_WILL_END: Final = """
SELECT merchant_id, payment_id, format('operation %s is %s and %s, with %s', operation_id, status,
  CASE WHEN settled_at IS NULL THEN 'not settled' ELSE 'settled' END,
  CASE WHEN lease_until IS NULL THEN 'no lease' ELSE 'a lease' END) AS difference
FROM operations
WHERE CASE status WHEN 'pending' THEN settled_at IS NOT NULL OR lease_until IS NULL
  ELSE settled_at IS NULL OR (lease_until IS NOT NULL AND (kind, status) <> ('refund', 'succeeded'))
  END OR (decline IS NOT NULL) <> (status = 'failed')
"""

_CHALLENGES: Final = """
WITH challenge AS (
  SELECT merchant_id, payment_id, operation_id, captures FROM operations
  WHERE kind IN ('authorize', 'complete') AND status = 'requires_action')
SELECT o.merchant_id, o.payment_id, format('operation %s completes no challenge of its payment',
  o.operation_id) AS difference
FROM operations AS o LEFT JOIN challenge AS c
  ON (c.merchant_id, c.payment_id, c.operation_id, c.captures)
   = (o.merchant_id, o.payment_id, o.completes, o.captures)
WHERE o.kind = 'complete' AND c.operation_id IS NULL
UNION ALL
SELECT p.merchant_id, p.payment_id, 'waits for a challenge that none of its operations has'
FROM payments AS p LEFT JOIN challenge AS c
  ON (c.merchant_id, c.payment_id, c.operation_id::text, to_jsonb(c.captures))
   = (p.merchant_id, p.payment_id, p.next_action ->> 'operation_id', p.next_action -> 'captures')
WHERE p.status = 'requires_action' AND c.operation_id IS NULL
"""

# An imported payment has had operations before it had events. A hold that ends by itself closes
# a capture without an operation.
_HAVE_EVENTS: Final = """
WITH told AS (
  SELECT merchant_id, payment_id, what, count(*) AS events
  FROM events AS e JOIN (VALUES
    ('payment.authorization_started', 'authorization started'),
    ('payment.authorized', 'authorization succeeded'),
    ('payment.failed', 'authorization failed'),
    ('payment.action_required', 'authorization requires_action'),
    ('payment.capture_started', 'capture started'),
    ('payment.partially_captured', 'capture succeeded'),
    ('payment.captured', 'capture succeeded'),
    ('payment.capture_failed', 'capture failed'),
    ('payment.cancel_started', 'cancel started'),
    ('payment.canceled', 'cancel succeeded'),
    ('payment.capture_closed', 'cancel succeeded'),
    ('payment.cancel_failed', 'cancel failed'),
    ('payment.refund_started', 'refund started'),
    ('payment.partially_refunded', 'refund succeeded'),
    ('payment.refunded', 'refund succeeded'),
    ('payment.refund_failed', 'refund failed'),
    ('payment.refund_reversed', 'refund reversed')) AS meaning (type, said) USING (type)
  CROSS JOIN LATERAL (SELECT CASE
    WHEN type = 'payment.captured' AND status_before = 'processing' THEN 'authorization succeeded'
    ELSE said END) AS chosen (what)
  WHERE type <> 'payment.capture_closed' OR EXISTS (
    SELECT FROM operations AS o
    WHERE (o.merchant_id, o.payment_id) = (e.merchant_id, e.payment_id)
      AND o.kind = 'cancel' AND o.status = 'succeeded')
  GROUP BY merchant_id, payment_id, what
), done AS (
  SELECT o.merchant_id, o.payment_id, what, count(*) AS operations
  FROM operations AS o
  LEFT JOIN refunds AS r ON (r.merchant_id, r.refund_id) = (o.merchant_id, o.operation_id)
  CROSS JOIN LATERAL (
    SELECT CASE WHEN kind IN ('authorize', 'complete') THEN 'authorization' ELSE kind END)
    AS named (name)
  CROSS JOIN LATERAL (VALUES
    (CASE WHEN kind <> 'cancel' OR o.amount_minor > 0 THEN name || ' started' END),
    (CASE WHEN o.status <> 'pending' THEN format('%s %s', name, o.status) END),
    (CASE WHEN o.status = 'succeeded' AND r.status = 'failed' THEN 'refund reversed' END))
    AS step (what)
  WHERE what IS NOT NULL
  GROUP BY o.merchant_id, o.payment_id, what
), imported AS (
  SELECT merchant_id, payment_id, true AS is_imported FROM events WHERE type = 'payment.imported')
SELECT merchant_id, payment_id, format('%s: %s events, %s operations',
  what, coalesce(events, 0), coalesce(operations, 0)) AS difference
FROM told FULL JOIN done USING (merchant_id, payment_id, what)
LEFT JOIN imported USING (merchant_id, payment_id)
WHERE CASE WHEN is_imported THEN coalesce(events, 0) > coalesce(operations, 0)
  ELSE events IS DISTINCT FROM operations END
"""

# Only a later failure makes a refund differ from its operation.
_REFUNDS: Final = """
WITH asked AS (SELECT * FROM operations WHERE kind = 'refund')
SELECT coalesce(r.merchant_id, o.merchant_id) AS merchant_id,
  coalesce(r.payment_id, o.payment_id) AS payment_id,
  format('refund %s: %s', coalesce(refund_id, operation_id), CASE
    WHEN refund_id IS NULL THEN 'there is only its operation'
    WHEN operation_id IS NULL THEN 'there is no operation of it'
    ELSE format('its %s is not its operation''s or payment''s', fact) END) AS difference
FROM asked AS o FULL JOIN refunds AS r
  ON (o.merchant_id, o.operation_id) = (r.merchant_id, r.refund_id)
LEFT JOIN payments AS p ON (p.merchant_id, p.payment_id) = (r.merchant_id, r.payment_id)
CROSS JOIN LATERAL (VALUES
  ('payment', r.payment_id = o.payment_id),
  ('amount', r.amount_minor = o.amount_minor),
  ('currency', (r.currency, r.exponent) = (p.currency, p.exponent)),
  ('status', r.status = o.status OR (o.status, r.status) = ('succeeded', 'failed')),
  ('decline', o.status = 'succeeded' OR r.decline IS NOT DISTINCT FROM o.decline),
  ('reason', r.reason = o.words),
  ('time', r.created_at = o.created_at)) AS compared (fact, is_so)
WHERE is_so IS NOT TRUE
"""

_REFUNDED: Final = """
WITH given AS (
  SELECT merchant_id, payment_id,
    sum(amount_minor) FILTER (WHERE status = 'succeeded') AS refunded,
    sum(amount_minor) FILTER (WHERE status = 'pending') AS refund_pending
  FROM refunds GROUP BY merchant_id, payment_id)
SELECT merchant_id, payment_id, format('%s is %s, the refunds say %s',
  amount, coalesce(told, 0), coalesce(found, 0)) AS difference
FROM payments AS p FULL JOIN given USING (merchant_id, payment_id)
CROSS JOIN LATERAL (VALUES
  ('refunded', p.refunded_minor, given.refunded),
  ('refund_pending', p.refund_pending_minor, given.refund_pending))
  AS compared (amount, told, found)
WHERE coalesce(told, 0) <> coalesce(found, 0)
"""

CHECKS: Final = (
    Check("operations-make-amounts", "operations and time account for every amount", _AMOUNTS),
    Check("refunds-make-amounts", "refunds account for what was given back", _REFUNDED),
    Check("refunds-are-operations", "a refund is its operation, unless it failed later", _REFUNDS),
    Check("operations-have-events", "each operation has its events, and no other", _HAVE_EVENTS),
    Check("operations-have-payments", "each operation belongs to a payment", _HAVE_A_PAYMENT),
    Check("operations-will-end", "what is pending will be looked up", _WILL_END),
    Check("processing-is-under-way", "processing is one authorization under way", _PROCESSING),
    Check("attempts-are-counted", "each attempt is an authorization", _ATTEMPTS),
    Check("challenges-are-kept", "challenges and completions belong together", _CHALLENGES),
)
