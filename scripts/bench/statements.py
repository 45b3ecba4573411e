"""The SQL of the bench: pgbench's scripts, and what fills the tables for bench-growth."""

from typing import Final

SINGLE_ROWS: Final = """
CREATE TABLE single (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant_id text NOT NULL,
  customer_id text NOT NULL, amount_minor bigint NOT NULL, currency text NOT NULL,
  status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO single (merchant_id, customer_id, amount_minor, currency, status)
SELECT 'default', 'cust123', 1000, 'USD', 'created' FROM generate_series(1, 100000);
"""

INSERT_ONE: Final = """
\\set amount random(1, 100000)
INSERT INTO single (merchant_id, customer_id, amount_minor, currency, status)
VALUES ('default', 'cust123', :amount, 'USD', 'created');
"""

SELECT_ONE: Final = """
\\set id random(1, 100000)
SELECT * FROM single WHERE id = :id;
"""

EXAMPLE: Final = """
SELECT encode(k.fingerprint, 'hex') AS fingerprint, e.snapshot
FROM idempotency AS k JOIN events AS e USING (merchant_id, payment_id)
WHERE k.operation_id IS NULL AND e.version = 1 LIMIT 1
"""
"""What is long in the rows of a create, from one that is stored: the parameters of _RECORD."""

_RECORD: Final = """
key AS (
  INSERT INTO idempotency (merchant_id, idempotency_key, fingerprint, fingerprint_version,
    payment_id, created_at)
  SELECT merchant, key, decode(:fingerprint, 'hex'), 1, id, at FROM new
  ON CONFLICT (merchant_id, idempotency_key)
    DO UPDATE SET idempotency_key = excluded.idempotency_key
  RETURNING payment_id
), payment AS (
  INSERT INTO payments (merchant_id, payment_id, customer_id, payment_method, capture_method,
    description, metadata, currency, exponent, amount_minor, status, created_at, updated_at)
  SELECT merchant, id, customer, 'card', 'automatic', '', '{}', 'USD', 2, 1000, 'created', at, at
  FROM new JOIN key ON key.payment_id = new.id
  RETURNING merchant_id, payment_id, version, status, customer_id, updated_at
), event AS (
  INSERT INTO events (merchant_id, payment_id, version, status, customer_id, occurred_at,
    event_id, type, snapshot)
  SELECT payment.*, uuidv7(), 'payment.created', :snapshot::json FROM payment
)
"""

CREATE_ONE: Final = f"""
\\set number random(1, 9000000000000000000)
WITH new AS MATERIALIZED (
  SELECT uuidv7() AS id, 'pgbench' AS merchant, 'cust123' AS customer, 'key-' || :number AS key,
    now() AS at
), {_RECORD}
SELECT payment_id FROM key;
"""
"""The rows of a create, in one statement for one payment: what gathering is compared with."""

_NUMBERED: Final = _RECORD.replace(":fingerprint", "$3").replace(":snapshot", "$4")
FILL: Final = f"""
WITH new AS MATERIALIZED (
  SELECT uuidv7(shift) AS id, 'default' AS merchant, 'cust' || number % 100000 AS customer,
    md5(number::text) AS key, now() + shift AS at
  FROM generate_series($1::int, $2::int) AS number,
    LATERAL (SELECT make_interval(secs => number * 0.5) - interval '30 days' AS shift) AS shifts
), {_NUMBERED}
SELECT count(*) FROM payment
"""
"""Creates of the last thirty days, in their order, with keys in none; up to five million."""
