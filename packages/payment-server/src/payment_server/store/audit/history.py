"""Checks of events: they are complete, they follow each other, and they lead to the row."""

from typing import Final

from payment_server.store.audit.check import HISTORY, STEPS, Check

_COMPLETE: Final = f"""
WITH step AS ({STEPS}), last AS (
  SELECT merchant_id, payment_id, max(version) AS version FROM events
  GROUP BY merchant_id, payment_id)
SELECT merchant_id, payment_id,
  format('version %s follows version %s', version, version_before) AS difference
FROM step WHERE version <> version_before + 1
UNION ALL
SELECT merchant_id, payment_id, CASE
  WHEN p.payment_id IS NULL THEN 'has events and no row'
  ELSE format('the row has version %s, the last event %s', p.version, coalesce(last.version, 0))
  END
FROM payments AS p FULL JOIN last USING (merchant_id, payment_id)
WHERE p.version IS DISTINCT FROM last.version
"""

_BEGINS: Final = f"""
WITH step AS ({STEPS})
SELECT merchant_id, payment_id, format('version %s is %s', version, type) AS difference
FROM step
WHERE CASE type
  WHEN 'payment.created' THEN version <> 1
  WHEN 'payment.imported' THEN version_before IS NOT NULL
  ELSE version_before IS NULL END
"""

_FOLLOWS: Final = f"""
WITH step AS ({STEPS})
SELECT merchant_id, payment_id, format('version %s says %s before, and it was %s',
  version, coalesce(status_before, 'nothing'), coalesce(status_of_last, 'nothing')) AS difference
FROM step WHERE status_before IS DISTINCT FROM status_of_last
"""

# The lifecycle once more: what the domain says of it and what the CHECK says may both be wrong.
_STEPS: Final = f"""
WITH step AS ({STEPS}), lifecycle (what, sources, targets) AS (VALUES
  ('authorization_started', 'created failed requires_action', 'processing'),
  ('action_required', 'processing', 'requires_action'),
  ('authorized', 'processing', 'authorized'),
  ('failed', 'processing', 'failed'),
  ('captured', 'processing authorized partially_captured', 'captured'),
  ('partially_captured', 'authorized partially_captured', 'partially_captured'),
  ('capture_closed', 'partially_captured', 'captured'),
  ('canceled', 'created requires_action failed authorized', 'canceled'),
  ('expired', 'created requires_action authorized', 'expired'),
  ('partially_refunded', 'captured partially_refunded', 'partially_refunded'),
  ('refunded', 'captured partially_refunded', 'refunded'),
  ('refund_reversed', 'partially_refunded refunded', 'captured partially_refunded'),
  ('capture_started', 'authorized partially_captured', 'unchanged'),
  ('capture_failed', 'authorized partially_captured', 'unchanged'),
  ('cancel_started', 'authorized partially_captured', 'unchanged'),
  ('cancel_failed', 'authorized partially_captured', 'unchanged'),
  ('refund_started', 'captured partially_refunded', 'unchanged'),
  ('refund_failed', 'captured partially_refunded', 'unchanged'))
SELECT merchant_id, payment_id,
  format('version %s: %s from %s to %s', version, type, status_before, status) AS difference
FROM step LEFT JOIN lifecycle ON type = 'payment.' || what
WHERE status_before IS NOT NULL AND (
  status_before = ANY (string_to_array(sources, ' ')) AND CASE targets
    WHEN 'unchanged' THEN status = status_before
    ELSE status = ANY (string_to_array(targets, ' ')) END) IS NOT TRUE
"""

_TELLS_ITS_SNAPSHOT: Final = f"""
WITH history AS ({HISTORY})
SELECT merchant_id, payment_id,
  format('version %s: the %s of the event is not the snapshot''s', version, fact) AS difference
FROM history CROSS JOIN LATERAL (VALUES
  ('format', format = '1'),
  ('merchant', merchant_id = (after).merchant_id),
  ('payment', payment_id = (after).payment_id),
  ('version', version = (after).version),
  ('status', status = (after).status),
  ('customer', customer_id = (after).customer_id),
  ('time', occurred_at = (after).updated_at)) AS told (fact, is_so)
WHERE is_so IS NOT TRUE
"""

_LEADS_TO_THE_ROW: Final = f"""
WITH history AS ({HISTORY}), last AS (
  SELECT DISTINCT ON (merchant_id, payment_id) merchant_id, payment_id, after
  FROM history ORDER BY merchant_id, payment_id, version DESC)
SELECT p.merchant_id, p.payment_id, CASE
  WHEN name ~ '(_minor|_at)$' OR name IN ('status', 'version', 'attempts', 'currency')
  THEN format('%s of the row is %s, of the last snapshot %s', name, here, there)
  ELSE format('%s of the row is not the last snapshot''s', name) END AS difference
FROM payments AS p JOIN last USING (merchant_id, payment_id)
CROSS JOIN LATERAL (
  SELECT name, now_.value AS here, told.value AS there
  FROM jsonb_each(to_jsonb(p)) AS now_ (name, value)
  JOIN jsonb_each(to_jsonb(last.after)) AS told (name, value) USING (name)) AS compared
WHERE p IS DISTINCT FROM last.after AND here IS DISTINCT FROM there
"""

_CONSTANT: Final = f"""
WITH history AS ({HISTORY})
SELECT merchant_id, payment_id, format('version %s changes %s', version, fact) AS difference
FROM history CROSS JOIN LATERAL (VALUES
  ('the customer', (before).customer_id = (after).customer_id),
  ('the capture method', (before).capture_method = (after).capture_method),
  ('the description', (before).description = (after).description),
  ('the metadata', (before).metadata = (after).metadata),
  ('the currency', ((before).currency, (before).exponent) = ((after).currency, (after).exponent)),
  ('the amount', (before).amount_minor = (after).amount_minor),
  ('the time of creation', (before).created_at = (after).created_at),
  ('the deadline', (before).expires_at IS NOT DISTINCT FROM (after).expires_at),
  ('the time of change backwards', (before).updated_at <= (after).updated_at))
  AS kept (fact, is_so)
WHERE version_before IS NOT NULL AND is_so IS NOT TRUE
"""

# The CHECKs say the same of the row; but they can be dropped, and of a snapshot nobody says it.
_AGREES: Final = f"""
WITH history AS ({HISTORY}), said AS (
  SELECT merchant_id, payment_id, format('version %s', version) AS place, after AS payment
  FROM history
  UNION ALL
  SELECT merchant_id, payment_id, 'the row', p FROM payments AS p)
SELECT said.merchant_id, said.payment_id,
  format('%s: %s does not go with its amounts, decline, challenge or end', place, status)
    AS difference
FROM said CROSS JOIN LATERAL (SELECT (payment).*) AS p
CROSS JOIN LATERAL (
  SELECT authorized_minor - captured_minor - voided_minor AS held,
    capture_pending_minor + void_pending_minor AS under_way,
    captured_minor - refunded_minor AS kept) AS measured
WHERE (
  0 <= ALL (ARRAY[authorized_minor, captured_minor, capture_pending_minor, voided_minor,
    void_pending_minor, refunded_minor, refund_pending_minor])
  AND authorized_minor <= amount_minor AND under_way <= held AND refund_pending_minor <= kept
  AND (decline IS NOT NULL) = (status = 'failed')
  AND (next_action IS NOT NULL) = (status = 'requires_action')
  AND CASE status WHEN 'created' THEN lapses_at IS NOT DISTINCT FROM expires_at
    ELSE (lapses_at IS NOT NULL)
      = (status IN ('requires_action', 'authorized', 'partially_captured')) END
  AND CASE
    WHEN status IN ('created', 'requires_action', 'processing', 'failed')
      THEN authorized_minor = 0
    WHEN status = 'authorized' THEN held > 0 AND captured_minor = 0
    WHEN status = 'partially_captured' THEN held > 0 AND captured_minor > 0
      AND refunded_minor = 0 AND refund_pending_minor = 0
    WHEN status = 'captured' THEN held = 0 AND captured_minor > 0 AND refunded_minor = 0
    WHEN status = 'partially_refunded' THEN held = 0 AND refunded_minor > 0 AND kept > 0
    WHEN status = 'refunded' THEN held = 0 AND refunded_minor > 0 AND kept = 0
    WHEN status IN ('canceled', 'expired') THEN held = 0 AND captured_minor = 0
  END) IS NOT TRUE
"""

_IN_ORDER: Final = f"""
WITH step AS ({STEPS})
SELECT merchant_id, payment_id, format('version %s is of transaction %s, the one before of %s',
  version, transaction_id, transaction_before) AS difference
FROM step WHERE transaction_id < transaction_before
UNION ALL
SELECT merchant_id, payment_id, format('version %s is of transaction %s, which is yet to come',
  version, transaction_id)
FROM events WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
UNION ALL
SELECT merchant_id, NULL, format('%s events have the id %s', count(*), event_id)
FROM events GROUP BY merchant_id, event_id HAVING count(*) > 1
"""

_AT_HOME: Final = """
SELECT NULL AS merchant_id, NULL AS payment_id,
  'the rows come from another cluster: run `payment-server migrate`' AS difference
FROM pg_control_system() AS here
WHERE here.system_identifier IS DISTINCT FROM (SELECT system_identifier FROM schema_identity)
"""

CHECKS: Final = (
    Check("events-are-complete", "versions have one event each, up to the row's", _COMPLETE),
    Check("events-begin", "a life begins with payment.created or payment.imported", _BEGINS),
    Check("events-follow", "an event's status before is the status after the last one", _FOLLOWS),
    Check("events-are-steps", "every event is a step of the lifecycle", _STEPS),
    Check("events-tell-snapshots", "an event says what its snapshot says", _TELLS_ITS_SNAPSHOT),
    Check("events-lead-to-row", "the last snapshot is the payment as it is now", _LEADS_TO_THE_ROW),
    Check("facts-stay", "what is asked for at creation never changes", _CONSTANT),
    Check("statuses-agree", "every status agrees with its amounts", _AGREES),
    Check("events-are-in-order", "watchers read a payment's events in their order", _IN_ORDER),
    Check("events-are-at-home", "transaction numbers are those of this cluster", _AT_HOME),
)
