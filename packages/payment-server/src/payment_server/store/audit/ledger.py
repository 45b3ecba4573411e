"""Checks of transfers: they sum up to what events and rows say, and no account owes anything."""

from typing import Final

from payment_server.store.audit.check import HISTORY, Check

_MOVED: Final = """
  SELECT t.*, m.authorized * amount_minor AS authorized, m.captured * amount_minor AS captured,
    m.voided * amount_minor AS voided, m.refunded * amount_minor AS refunded,
    m.refund_pending * amount_minor AS refund_pending
  FROM transfers AS t LEFT JOIN (VALUES
    ('customer_funds', 'authorization_hold', 1, 0, 0, 0, 0),
    ('authorization_hold', 'merchant_balance', 0, 1, 0, 0, 0),
    ('authorization_hold', 'customer_funds', 0, 0, 1, 0, 0),
    ('merchant_balance', 'refunds', 0, 0, 0, 0, 1),
    ('refunds', 'merchant_balance', 0, 0, 0, 0, -1),
    ('refunds', 'customer_funds', 0, 0, 0, 1, -1),
    ('customer_funds', 'merchant_balance', 0, 0, 0, -1, 0))
  AS m (debit_account, credit_account, authorized, captured, voided, refunded, refund_pending)
  USING (debit_account, credit_account)
"""
"""Each transfer, and what it adds to the amounts of its payment."""

_OF_VERSIONS: Final = f"""
WITH history AS ({HISTORY}), moved AS ({_MOVED}), summed AS (
  SELECT merchant_id, payment_id, version, sum(authorized) AS authorized,
    sum(captured) AS captured, sum(voided) AS voided, sum(refunded) AS refunded,
    sum(refund_pending) AS refund_pending
  FROM moved GROUP BY merchant_id, payment_id, version)
SELECT merchant_id, payment_id, format('version %s: %s changes by %s, the transfers say %s',
  version, amount, coalesce(told, 0), coalesce(found, 0)) AS difference
FROM history AS h FULL JOIN summed AS s USING (merchant_id, payment_id, version)
CROSS JOIN LATERAL (VALUES
  ('authorized', (after).authorized_minor - coalesce((before).authorized_minor, 0), authorized),
  ('captured', (after).captured_minor - coalesce((before).captured_minor, 0), captured),
  ('voided', (after).voided_minor - coalesce((before).voided_minor, 0), voided),
  ('refunded', (after).refunded_minor - coalesce((before).refunded_minor, 0), refunded),
  ('refund_pending',
    (after).refund_pending_minor - coalesce((before).refund_pending_minor, 0), refund_pending))
  AS compared (amount, told, found)
WHERE coalesce(told, 0) <> coalesce(found, 0)
"""

_OF_PAYMENTS: Final = f"""
WITH moved AS ({_MOVED}), summed AS (
  SELECT merchant_id, payment_id, sum(authorized) AS authorized, sum(captured) AS captured,
    sum(voided) AS voided, sum(refunded) AS refunded, sum(refund_pending) AS refund_pending
  FROM moved GROUP BY merchant_id, payment_id)
SELECT merchant_id, payment_id, format('%s is %s, the transfers say %s',
  amount, coalesce(told, 0), coalesce(found, 0)) AS difference
FROM payments AS p FULL JOIN summed AS s USING (merchant_id, payment_id)
CROSS JOIN LATERAL (VALUES
  ('authorized', p.authorized_minor, s.authorized),
  ('captured', p.captured_minor, s.captured),
  ('voided', p.voided_minor, s.voided),
  ('refunded', p.refunded_minor, s.refunded),
  ('refund_pending', p.refund_pending_minor, s.refund_pending)) AS compared (amount, told, found)
WHERE coalesce(told, 0) <> coalesce(found, 0)
"""

_BALANCES: Final = """
  SELECT merchant_id, payment_id, version, currency, debit_account AS account,
    -amount_minor AS amount
  FROM transfers
  UNION ALL
  SELECT merchant_id, payment_id, version, currency, credit_account, amount_minor FROM transfers
"""

_NEVER_BELOW_ZERO: Final = f"""
WITH posted AS ({_BALANCES}), balance AS (
  SELECT merchant_id, payment_id, version, account, sum(sum(amount)) OVER (
    PARTITION BY merchant_id, payment_id, account ORDER BY version) AS amount
  FROM posted GROUP BY merchant_id, payment_id, version, account)
SELECT merchant_id, payment_id, format('version %s leaves %s in %s', version, amount, account)
  AS difference
FROM balance
WHERE CASE account WHEN 'customer_funds' THEN amount > 0 ELSE amount < 0 END
"""

_LEGS: Final = """
WITH numbered AS (
  SELECT *, row_number() OVER version_ AS place, count(*) OVER pair AS times
  FROM transfers
  WINDOW version_ AS (PARTITION BY merchant_id, payment_id, version ORDER BY leg),
    pair AS (PARTITION BY merchant_id, payment_id, version, debit_account, credit_account))
SELECT merchant_id, payment_id, format('version %s: leg %s is the %s. transfer of the version',
  version, leg, place) AS difference
FROM numbered WHERE leg <> place
UNION ALL
SELECT merchant_id, payment_id, format('version %s: leg %s is one of %s from %s to %s',
  version, leg, times, debit_account, credit_account)
FROM numbered WHERE times > 1
UNION ALL
SELECT merchant_id, payment_id, format('version %s: leg %s moves %s', version, leg, amount_minor)
FROM transfers WHERE amount_minor <= 0
"""

_ROUTES: Final = """
SELECT merchant_id, payment_id, format('version %s: %s moves money from %s to %s',
  version, coalesce(e.type, 'nothing'), debit_account, credit_account) AS difference
FROM transfers AS t LEFT JOIN events AS e USING (merchant_id, payment_id, version)
LEFT JOIN (VALUES
  ('customer_funds', 'authorization_hold', 'authorized captured imported'),
  ('authorization_hold', 'merchant_balance', 'captured partially_captured imported'),
  ('authorization_hold', 'customer_funds', 'captured capture_closed canceled expired imported'),
  ('merchant_balance', 'refunds', 'refund_started imported'),
  ('refunds', 'merchant_balance', 'refund_failed'),
  ('refunds', 'customer_funds', 'partially_refunded refunded imported'),
  ('customer_funds', 'merchant_balance', 'refund_reversed'))
  AS route (debit_account, credit_account, taken_by) USING (debit_account, credit_account)
WHERE (substr(e.type, length('payment.') + 1) = ANY (string_to_array(taken_by, ' '))) IS NOT TRUE
"""

_CURRENCIES: Final = """
SELECT t.merchant_id, t.payment_id, format('version %s: leg %s is in %s, the payment in %s',
  t.version, leg, t.currency, p.currency) AS difference
FROM transfers AS t LEFT JOIN payments AS p USING (merchant_id, payment_id)
WHERE t.currency IS DISTINCT FROM p.currency
"""

_SUMS: Final = f"""
WITH posted AS ({_BALANCES})
SELECT merchant_id, NULL AS payment_id, format('the accounts in %s sum up to %s', currency,
  sum(amount)) AS difference
FROM posted
WHERE account IN ('customer_funds', 'authorization_hold', 'merchant_balance', 'refunds')
GROUP BY merchant_id, currency HAVING sum(amount) <> 0
"""

_TOTALS: Final = f"""
WITH posted AS ({_BALANCES}), balance AS (
  SELECT merchant_id, currency, account, sum(amount) AS amount
  FROM posted GROUP BY merchant_id, currency, account
), owed AS (
  SELECT merchant_id, currency, account, sum(amount) AS amount
  FROM payments CROSS JOIN LATERAL (VALUES
    ('customer_funds', voided_minor + refunded_minor - authorized_minor),
    ('authorization_hold', authorized_minor - captured_minor - voided_minor),
    ('merchant_balance', captured_minor - refunded_minor - refund_pending_minor),
    ('refunds', refund_pending_minor)) AS part (account, amount)
  GROUP BY merchant_id, currency, account)
SELECT merchant_id, NULL AS payment_id, format('%s in %s holds %s, the payments say %s',
  account, currency, coalesce(balance.amount, 0), coalesce(owed.amount, 0)) AS difference
FROM balance FULL JOIN owed USING (merchant_id, currency, account)
WHERE coalesce(balance.amount, 0) <> coalesce(owed.amount, 0)
"""

CHECKS: Final = (
    Check("transfers-of-versions", "a version moves what its snapshot says", _OF_VERSIONS),
    Check("transfers-of-payments", "a payment's amounts are its transfers' sums", _OF_PAYMENTS),
    Check("transfers-of-currencies", "accounts hold what the payments of a currency say", _TOTALS),
    Check("transfers-sum-to-zero", "the accounts of each currency sum up to nothing", _SUMS),
    Check("transfers-keep-currency", "money moves in the payment's currency", _CURRENCIES),
    Check("transfers-take-routes", "money moves between the accounts that an event names", _ROUTES),
    Check("transfers-are-legs", "a version moves money once on each route", _LEGS),
    Check("accounts-owe-nothing", "no account of a payment was ever below zero", _NEVER_BELOW_ZERO),
)
