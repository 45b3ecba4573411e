-- What somebody might do to the tables of a lively database, each by itself, and before it the
-- check that is meant to find it. of('sale') is the id of the payment of that description.

-- events-are-complete: a missing event
DELETE FROM events WHERE payment_id = of('parts') AND version = 4;

-- events-are-complete: a missing last event
DELETE FROM events WHERE payment_id = of('sale') AND version = 3;

-- events-are-complete: a doubled event
INSERT INTO events SELECT * FROM events WHERE payment_id = of('sale') AND version = 2;

-- events-are-complete: a lost payment
DELETE FROM payments WHERE description = 'sale';

-- events-are-complete: a version too many
UPDATE payments SET version = version + 1 WHERE description = 'sale';

-- events-begin: a missing first event
DELETE FROM events WHERE payment_id = of('sale') AND version = 1;

-- events-begin: an import in the middle of a life
UPDATE events SET type = 'payment.imported' WHERE payment_id = of('sale') AND version = 2;

-- events-follow: another status before
UPDATE events SET status_before = 'failed' WHERE payment_id = of('sale') AND version = 2;

-- events-are-steps: another type of event
UPDATE events SET type = 'payment.authorized' WHERE payment_id = of('sale') AND version = 3;

-- events-are-steps: a status that no step leads to
UPDATE events SET status = 'refunded', snapshot = but(snapshot, '{payment,status}', '"refunded"')
WHERE payment_id = of('sale') AND version = 3;

-- events-tell-snapshots: swapped snapshots
UPDATE events AS e SET snapshot = other.snapshot FROM events AS other
WHERE e.payment_id = of('parts') AND other.payment_id = e.payment_id
  AND (e.version, other.version) IN ((3, 4), (4, 3));

-- events-follow: swapped versions
UPDATE events SET version = 5 - version,
  snapshot = but(snapshot, '{payment,version}', to_jsonb(5 - version))
WHERE payment_id = of('parts') AND version IN (2, 3);

-- events-tell-snapshots: an event under another customer's name
UPDATE events SET customer_id = 'x' WHERE payment_id = of('sale') AND version = 2;

-- events-tell-snapshots: a snapshot that is none
UPDATE events SET snapshot = '[]' WHERE payment_id = of('sale') AND version = 2;

-- events-tell-snapshots: a snapshot of an unknown format
UPDATE events SET snapshot = but(snapshot, '{format_version}', '2')
WHERE payment_id = of('sale') AND version = 2;

-- events-lead-to-row: a changed amount
UPDATE payments SET captured_minor = captured_minor - 1 WHERE description = 'sale';

-- events-lead-to-row: a wrong status
UPDATE payments SET status = 'authorized' WHERE description = 'sale';

-- events-lead-to-row: another customer
UPDATE payments SET customer_id = 'thief' WHERE description = 'sale';

-- events-lead-to-row: a forgotten decline
UPDATE payments SET decline = NULL WHERE description = 'declined';

-- events-lead-to-row: a longer hold
UPDATE payments SET lapses_at = lapses_at + interval '1 day' WHERE description = 'held';

-- facts-stay: a price that rises
UPDATE events SET snapshot = but(snapshot, '{payment,amount_minor}', '1001')
WHERE payment_id = of('sale') AND version > 1;
UPDATE payments SET amount_minor = 1001 WHERE description = 'sale';

-- facts-stay: a change before the one before
UPDATE events SET occurred_at = '2020-01-01Z',
  snapshot = but(snapshot, '{payment,updated_at}', '"2020-01-01T00:00:00Z"')
WHERE payment_id = of('sale') AND version = 2;

-- statuses-agree: a lie that is told everywhere
UPDATE events SET status = 'refunded', snapshot = but(snapshot, '{payment,status}', '"refunded"')
WHERE payment_id = of('sale') AND version = 3;
UPDATE payments SET status = 'refunded' WHERE description = 'sale';

-- statuses-agree: a decline of a paid payment
UPDATE payments SET decline = '{}' WHERE description = 'sale';

-- statuses-agree: a capture without end
UPDATE payments SET capture_pending_minor = 2000 WHERE description = 'held';

-- events-are-in-order: an event of an earlier transaction than the one before
UPDATE events SET transaction_id = '3' WHERE payment_id = of('sale') AND version = 3;

-- events-are-in-order: an event of a transaction that is to come
UPDATE events SET transaction_id = '999999999' WHERE payment_id = of('sale') AND version = 3;

-- events-are-in-order: one id of two events
UPDATE events SET event_id = of('sale') WHERE payment_id = of('sale');

-- events-are-at-home: rows of another cluster
UPDATE schema_identity SET system_identifier = 7;

-- transfers-of-versions: a lost transfer
DELETE FROM transfers WHERE payment_id = of('sale') AND leg = 2;

-- transfers-of-versions: a doubled transfer
INSERT INTO transfers SELECT (jsonb_populate_record(each, '{"leg": 3}')).* FROM transfers AS each
WHERE payment_id = of('sale') AND leg = 2;

-- transfers-of-versions: a transfer of less
UPDATE transfers SET amount_minor = amount_minor - 1 WHERE payment_id = of('sale');

-- transfers-of-versions: a transfer of another version
UPDATE transfers SET version = 2 WHERE payment_id = of('sale');

-- transfers-of-versions: a transfer of a version that never was
UPDATE transfers SET version = 9 WHERE payment_id = of('sale');

-- transfers-of-payments: an amount changed in the row and in its snapshot
UPDATE events SET snapshot = but(snapshot, '{payment,refunded_minor}', '1')
WHERE payment_id = of('sale') AND version = 3;
UPDATE payments SET refunded_minor = 1 WHERE description = 'sale';

-- transfers-of-payments: transfers of no payment
UPDATE transfers SET payment_id = gen_random_uuid() WHERE payment_id = of('sale');

-- transfers-of-currencies: money of another merchant
UPDATE transfers SET merchant_id = 'other' WHERE payment_id = of('sale');

-- transfers-sum-to-zero: money that goes elsewhere
UPDATE transfers SET credit_account = 'elsewhere' WHERE payment_id = of('sale') AND leg = 2;

-- transfers-keep-currency: a transfer in another currency
UPDATE transfers SET currency = 'EUR' WHERE payment_id = of('sale') AND leg = 1;

-- transfers-take-routes: money there and back
INSERT INTO transfers SELECT (jsonb_populate_record(each, route)).* FROM transfers AS each, (VALUES
  ('{"leg": 3, "debit_account": "merchant_balance", "credit_account": "refunds"}'::jsonb),
  ('{"leg": 4, "debit_account": "refunds", "credit_account": "merchant_balance"}')) AS and_back (route)
WHERE payment_id = of('sale') AND leg = 2;

-- transfers-are-legs: one transfer in two halves
UPDATE transfers SET amount_minor = amount_minor / 2 WHERE payment_id = of('sale') AND leg = 2;
INSERT INTO transfers SELECT (jsonb_populate_record(each, '{"leg": 3}')).* FROM transfers AS each
WHERE payment_id = of('sale') AND leg = 2;

-- transfers-are-legs: a leg that is left out
UPDATE transfers SET leg = 3 WHERE payment_id = of('sale') AND leg = 2;

-- transfers-are-legs: a transfer of less than nothing
UPDATE transfers SET amount_minor = -amount_minor WHERE payment_id = of('sale');

-- accounts-owe-nothing: money given back before it was taken
UPDATE transfers SET version = 1 WHERE payment_id = of('parts') AND debit_account = 'refunds';

-- accounts-owe-nothing: a customer who is given money
DELETE FROM transfers WHERE payment_id = of('parts') AND debit_account <> 'refunds';

-- operations-make-amounts: an operation of less
UPDATE operations SET amount_minor = 1 WHERE payment_id = of('sale');

-- operations-make-amounts: an operation that only authorized
UPDATE operations SET captures = false WHERE payment_id = of('sale');

-- operations-make-amounts: a pending amount without operation
DELETE FROM operations WHERE payment_id = of('silent cancel') AND status = 'pending';

-- operations-make-amounts: a pending release without operation
UPDATE operations SET released_minor = 0 WHERE payment_id = of('silent capture');

-- operations-make-amounts: an operation that was done twice
INSERT INTO operations SELECT (jsonb_populate_record(each, new_id())).* FROM operations AS each
WHERE payment_id = of('whole') AND kind = 'capture';

-- operations-make-amounts: an operation that failed after all
UPDATE operations SET status = 'failed', decline = '{}'
WHERE payment_id = of('parts') AND kind = 'capture' AND amount_minor = 200;

-- operations-make-amounts: a hold that lapsed to a part
UPDATE payments SET voided_minor = voided_minor - 1 WHERE description = 'lapsing hold';

-- refunds-make-amounts: a lost refund
DELETE FROM refunds WHERE payment_id = of('parts') AND amount_minor = 50;

-- refunds-make-amounts: a pending refund of less
UPDATE refunds SET amount_minor = 1 WHERE payment_id = of('silent refund');

-- refunds-make-amounts: a pending refund without amount
UPDATE payments SET refund_pending_minor = 0 WHERE description = 'silent refund';

-- refunds-are-operations: a refund without operation
DELETE FROM operations WHERE payment_id = of('parts') AND kind = 'refund' AND amount_minor = 50;

-- refunds-are-operations: an operation without refund
DELETE FROM refunds WHERE payment_id = of('refused refund');

-- refunds-are-operations: a refund that claims to have failed
UPDATE refunds SET status = 'failed' WHERE payment_id = of('silent refund');

-- refunds-are-operations: a refund for another reason
UPDATE refunds SET reason = 'x' WHERE payment_id = of('parts') AND amount_minor = 50;

-- refunds-are-operations: a refund of another payment
UPDATE refunds SET payment_id = of('sale') WHERE payment_id = of('refused refund');

-- operations-have-events: an operation without events
INSERT INTO operations SELECT (jsonb_populate_record(each, new_id())).* FROM operations AS each
WHERE payment_id = of('capture fails') AND kind = 'capture';

-- operations-have-events: events without operation
DELETE FROM operations WHERE payment_id = of('capture fails') AND kind = 'capture';

-- operations-have-events: a refund that failed later, and nobody was told
UPDATE refunds SET status = 'failed' WHERE payment_id = of('parts') AND amount_minor = 50;

-- operations-have-payments: an operation of no payment
UPDATE operations SET payment_id = gen_random_uuid() WHERE payment_id = of('sale');

-- operations-will-end: an operation that nobody will look up
UPDATE operations SET lease_until = NULL WHERE payment_id = of('silent refund');

-- operations-will-end: an operation that failed for no reason
UPDATE operations SET decline = NULL WHERE payment_id = of('declined');

-- operations-will-end: a capture that is looked up for ever
UPDATE operations SET lease_until = now() WHERE payment_id = of('sale');

-- processing-is-under-way: processing without an operation
UPDATE payments SET status = 'processing' WHERE description = 'waits';

-- processing-is-under-way: an authorization under way that nobody waits for
UPDATE operations SET status = 'pending' WHERE payment_id = of('declined');

-- attempts-are-counted: an attempt that was not counted
UPDATE payments SET attempts = 1 WHERE description = 'second attempt';

-- challenges-are-kept: a completion of something else
UPDATE operations SET completes = gen_random_uuid() WHERE payment_id = of('challenge met')
  AND kind = 'complete';

-- challenges-are-kept: a completion that captures what was to be held
UPDATE operations SET captures = NOT captures WHERE payment_id = of('challenge held')
  AND kind = 'complete';

-- challenges-are-kept: a challenge of nobody
UPDATE payments SET next_action = jsonb_set(next_action, '{operation_id}', '"x"')
WHERE description = 'challenged';

-- keys-have-an-effect: a key without operation
DELETE FROM operations WHERE payment_id = of('sale');

-- keys-have-an-effect: a key without payment
DELETE FROM payments WHERE description = 'waits';

-- keys-have-an-effect: a key of another payment
UPDATE idempotency SET payment_id = of('waits') WHERE idempotency_key = 'sale, 0';

-- keys-are-bound: a lost key
DELETE FROM idempotency WHERE idempotency_key = 'sale, 0';

-- keys-are-bound: two keys of one creation
INSERT INTO idempotency SELECT (jsonb_populate_record(each, '{"idempotency_key": "x"}')).*
FROM idempotency AS each WHERE idempotency_key = 'sale, created';

-- keys-are-answered: an answer before the outcome
UPDATE idempotency SET answer = '{}' WHERE payment_id = of('challenged');
UPDATE operations SET status = 'pending' WHERE payment_id = of('challenged');

-- keys-are-answered: a lost answer
UPDATE idempotency SET answer = NULL WHERE idempotency_key = 'sale, 0';

-- answers-are-history: an answer of another amount
UPDATE idempotency SET answer = but(answer, '{answer,payment,captured_minor}', '1')
WHERE idempotency_key = 'sale, 0';

-- answers-are-history: an answer of a version that never was
UPDATE idempotency SET answer = but(answer, '{answer,payment,version}', '9')
WHERE idempotency_key = 'sale, 0';

-- answers-are-history: an answer of another outcome
UPDATE idempotency SET answer = but(answer, '{answer,operation,status}', '"failed"')
WHERE idempotency_key = 'sale, 0';

-- answers-are-history: somebody else's answer
UPDATE idempotency AS k SET answer = other.answer FROM idempotency AS other
WHERE k.idempotency_key = 'sale, 0' AND other.idempotency_key = 'second attempt, 0';

-- answers-are-history: an answer of an unknown format
UPDATE idempotency SET answer = but(answer, '{format_version}', '2')
WHERE idempotency_key = 'sale, 0';
