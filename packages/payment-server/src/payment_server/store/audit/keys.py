"""Checks of idempotency: each key has its one effect, and told its caller what happened."""

from typing import Final

from payment_server.store.audit.check import Check

_EFFECT: Final = """
SELECT k.merchant_id, k.payment_id, CASE
  WHEN p.payment_id IS NULL THEN 'a key has no payment'
  WHEN o.operation_id IS NULL THEN format('a key has no operation %s', k.operation_id)
  ELSE format('a key is bound to operation %s, which has another', o.operation_id) END
  AS difference
FROM idempotency AS k LEFT JOIN payments AS p USING (merchant_id, payment_id)
LEFT JOIN operations AS o ON (o.merchant_id, o.operation_id) = (k.merchant_id, k.operation_id)
WHERE p.payment_id IS NULL OR (k.operation_id IS NOT NULL
  AND ((o.payment_id, o.idempotency_key) = (k.payment_id, k.idempotency_key)) IS NOT TRUE)
"""

_BOUND: Final = """
SELECT merchant_id, o.payment_id, format('operation %s has a key that is not bound to it',
  o.operation_id) AS difference
FROM operations AS o LEFT JOIN idempotency AS k USING (merchant_id, idempotency_key)
WHERE o.idempotency_key IS NOT NULL AND o.operation_id IS DISTINCT FROM k.operation_id
UNION ALL
SELECT merchant_id, payment_id, format('%s keys have created it', count(*))
FROM idempotency WHERE operation_id IS NULL GROUP BY merchant_id, payment_id HAVING count(*) > 1
"""

# Answers are forgotten after 7 days; the day less is for clocks that differ. A creation's answer is
# its payment's first version, which the checks of events look at.
_SETTLED: Final = """
SELECT k.merchant_id, k.payment_id, format('the key of operation %s %s', k.operation_id, CASE
    WHEN k.answer IS NULL THEN 'is young, settled and has no answer'
    ELSE 'has an answer before its outcome' END) AS difference
FROM idempotency AS k JOIN operations AS o USING (merchant_id, operation_id)
WHERE CASE WHEN o.status = 'pending' THEN k.answer IS NOT NULL
  ELSE k.answer IS NULL AND k.created_at > now() - interval '6 days' END
"""

# What was answered before there were events has no snapshot to be compared with.
_ANSWERS: Final = """
WITH answered AS (
  SELECT merchant_id, payment_id, operation_id, answer ->> 'format_version' AS format,
    answer -> 'answer' -> 'payment' AS payment,
    (answer -> 'answer' -> 'payment' ->> 'version')::bigint AS version,
    nullif(answer -> 'answer' ->> 'operation', '')::json AS operation
  FROM idempotency WHERE answer IS NOT NULL
), began AS (
  SELECT DISTINCT ON (merchant_id, payment_id) merchant_id, payment_id,
    CASE type WHEN 'payment.imported' THEN version + 1 ELSE version END AS first_version
  FROM events ORDER BY merchant_id, payment_id, version)
SELECT a.merchant_id, a.payment_id, format('the answer for %s: %s',
  coalesce('operation ' || a.operation_id, 'the creation'), fault) AS difference
FROM answered AS a
LEFT JOIN began AS b ON (b.merchant_id, b.payment_id) = (a.merchant_id, a.payment_id)
LEFT JOIN events AS e
  ON (e.merchant_id, e.payment_id, e.version) = (a.merchant_id, a.payment_id, a.version)
LEFT JOIN operations AS o ON (o.merchant_id, o.operation_id) = (a.merchant_id, a.operation_id)
CROSS JOIN LATERAL (VALUES
  ('its format is unknown', a.format = '1'),
  ('its payment is another', (a.payment ->> 'merchant_id', a.payment ->> 'payment_id')
    = (a.merchant_id, a.payment_id::text)),
  ('its payment is no version that there was',
    a.version < b.first_version OR a.payment::jsonb = (e.snapshot -> 'payment')::jsonb),
  ('its operation is another',
    (a.operation ->> 'operation_id') IS NOT DISTINCT FROM a.operation_id::text),
  ('its operation went otherwise', NOT EXISTS (
    SELECT FROM json_each(a.operation) AS said
    JOIN jsonb_each(to_jsonb(json_populate_record(o, a.operation))) AS read USING (key)
    JOIN jsonb_each(to_jsonb(o)) AS row USING (key)
    WHERE read.value <> row.value))) AS judged (fault, is_so)
WHERE is_so IS NOT TRUE
"""

CHECKS: Final = (
    Check("keys-have-an-effect", "each key has a payment and its own operation", _EFFECT),
    Check("keys-are-bound", "each operation's key is bound to it, each creation's once", _BOUND),
    Check("keys-are-answered", "a key has its answer when the outcome is known", _SETTLED),
    Check("answers-are-history", "each answer tells a version that there was", _ANSWERS),
)
