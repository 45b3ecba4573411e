-- Refunds, the ledger, events, challenges and deadlines.
-- What was recorded before has no history; it starts with one event of the type
-- payment.imported and with the transfers that its amounts sum up.

ALTER TABLE payments
  ADD COLUMN next_action jsonb,
  ADD COLUMN expires_at timestamptz,
  ADD COLUMN lapses_at timestamptz;

-- A payment's next versions find room beside it, so that most need no new index entries: an eighth
-- of what processing costs.
ALTER TABLE payments SET (fillfactor = 60);

UPDATE payments SET lapses_at = updated_at + interval '7 days'
WHERE status IN ('authorized', 'partially_captured');

-- The server parses a CHECK anew for each statement that writes, and that took longer than the rows.
-- Of a function it parses the call alone, and the session keeps the rest.
DO $drop$
DECLARE
  old record;
BEGIN
  FOR old IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint
    WHERE contype = 'c' AND conrelid IN ('payments'::regclass, 'operations'::regclass)
  LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', old.of_table, old.conname);
  END LOOP;
END
$drop$;

CREATE FUNCTION payment_is_well_formed(
  merchant_id text, customer_id text, payment_method text, capture_method text, description text,
  metadata jsonb, currency text, exponent smallint, attempts smallint, version bigint,
  created_at timestamptz, updated_at timestamptz
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN
  -- Two comparisons: with the length in the pattern it takes nine times as long.
  merchant_id ~ '^[a-z0-9_-]+$' AND char_length(merchant_id) <= 64
  AND char_length(customer_id) BETWEEN 1 AND 255
  AND char_length(payment_method) BETWEEN 1 AND 255
  AND capture_method IN ('automatic', 'manual')
  AND char_length(description) <= 1000
  AND jsonb_typeof(metadata) = 'object'
  AND currency ~ '^[A-Z]{3}$'
  AND exponent IN (0, 2, 3)
  AND attempts BETWEEN 0 AND 10
  AND version >= 1
  AND updated_at >= created_at;
END $$;

-- That nothing is under way where nothing may be, follows from the sums and from what the status
-- says of the amounts; but for a refund before the capture is closed.
CREATE FUNCTION amounts_agree_with_status(
  status text, amount_minor bigint, authorized_minor bigint, captured_minor bigint,
  capture_pending_minor bigint, voided_minor bigint, void_pending_minor bigint,
  refunded_minor bigint, refund_pending_minor bigint
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN
  amount_minor > 0
  AND least(authorized_minor, captured_minor, capture_pending_minor, voided_minor,
    void_pending_minor, refunded_minor, refund_pending_minor) >= 0
  AND captured_minor + capture_pending_minor + voided_minor + void_pending_minor
    <= authorized_minor
  AND authorized_minor <= amount_minor
  AND refunded_minor + refund_pending_minor <= captured_minor
  AND CASE
    WHEN status IN ('created', 'requires_action', 'processing', 'failed')
      THEN authorized_minor = 0
    WHEN status = 'authorized'
      THEN captured_minor = 0 AND voided_minor < authorized_minor
    WHEN status = 'partially_captured'
      THEN captured_minor > 0 AND captured_minor + voided_minor < authorized_minor
       AND refunded_minor = 0 AND refund_pending_minor = 0
    WHEN status IN ('captured', 'partially_refunded', 'refunded')
      THEN captured_minor > 0 AND captured_minor + voided_minor = authorized_minor
       AND CASE status
         WHEN 'captured' THEN refunded_minor = 0
         WHEN 'refunded' THEN refunded_minor = captured_minor
         ELSE refunded_minor > 0 AND refunded_minor < captured_minor END
    ELSE status IN ('canceled', 'expired')
     AND captured_minor = 0 AND voided_minor = authorized_minor END;
END $$;

CREATE FUNCTION circumstances_agree_with_status(
  status text, decline jsonb, next_action jsonb, expires_at timestamptz, lapses_at timestamptz
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN
  (decline IS NOT NULL) = (status = 'failed')
  AND (next_action IS NOT NULL) = (status = 'requires_action')
  AND CASE WHEN status = 'created' THEN lapses_at IS NOT DISTINCT FROM expires_at
    ELSE (lapses_at IS NOT NULL)
      = (status IN ('requires_action', 'authorized', 'partially_captured')) END;
END $$;

ALTER TABLE payments
  ADD CONSTRAINT payment_is_well_formed CHECK (payment_is_well_formed(
    merchant_id, customer_id, payment_method, capture_method, description, metadata, currency,
    exponent, attempts, version, created_at, updated_at)),
  ADD CONSTRAINT amounts_agree_with_status CHECK (amounts_agree_with_status(
    status, amount_minor, authorized_minor, captured_minor, capture_pending_minor, voided_minor,
    void_pending_minor, refunded_minor, refund_pending_minor)),
  ADD CONSTRAINT circumstances_agree_with_status CHECK (circumstances_agree_with_status(
    status, decline, next_action, expires_at, lapses_at));

-- Indexes that are not keys have the merchant in another collation than its column: whoever means
-- them has to say so, and no look-up by key takes one while the tables are too small to tell.
DROP INDEX payments_by_customer;
CREATE INDEX payments_by_customer
  ON payments (merchant_id COLLATE "C", customer_id, payment_id);

-- What time alone will move; nearly all payments never have such a moment. This index and two more
-- serve the loops that go over all merchants, and so they lead with the time.
CREATE INDEX payments_lapsing ON payments (lapses_at) WHERE lapses_at IS NOT NULL;

ALTER TABLE operations
  ADD COLUMN released_minor bigint NOT NULL DEFAULT 0,
  ADD COLUMN completes uuid,
  ADD COLUMN words text NOT NULL DEFAULT '',
  ALTER COLUMN lease_until DROP NOT NULL,
  ALTER COLUMN lease_until DROP DEFAULT;

-- From now on a settled operation has no lease, unless it is a refund that may still fail.
UPDATE operations SET lease_until = NULL WHERE status <> 'pending';

CREATE FUNCTION operation_is_well_formed(
  kind text, status text, amount_minor bigint, released_minor bigint, words text, decline jsonb,
  completes uuid, settled_at timestamptz, lease_until timestamptz
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN
  kind IN ('authorize', 'capture', 'cancel', 'refund', 'complete')
  AND status IN ('pending', 'succeeded', 'failed', 'requires_action')
  AND amount_minor >= 0
  AND released_minor >= 0
  AND char_length(words) <= 1000
  AND (decline IS NOT NULL) = (status = 'failed')
  AND (completes IS NOT NULL) = (kind = 'complete')
  AND (settled_at IS NULL) = (status = 'pending')
  AND CASE WHEN status = 'pending' THEN lease_until IS NOT NULL
    ELSE lease_until IS NULL OR (kind = 'refund' AND status = 'succeeded') END;
END $$;

ALTER TABLE operations
  ADD CONSTRAINT operation_is_well_formed CHECK (operation_is_well_formed(
    kind, status, amount_minor, released_minor, words, decline, completes, settled_at,
    lease_until));

DROP INDEX operations_pending;
CREATE INDEX operations_to_look_up ON operations (lease_until)
  WHERE lease_until IS NOT NULL;

CREATE TABLE refunds (
  merchant_id  text        NOT NULL,
  refund_id    uuid        NOT NULL,  -- the operation that asked for it
  payment_id   uuid        NOT NULL,
  amount_minor bigint      NOT NULL CHECK (amount_minor > 0),
  currency     text        NOT NULL,
  exponent     smallint    NOT NULL,
  status       text        NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
  reason       text        NOT NULL CHECK (char_length(reason) <= 255),
  decline      jsonb,
  created_at   timestamptz NOT NULL,
  updated_at   timestamptz NOT NULL CHECK (updated_at >= created_at),

  PRIMARY KEY (merchant_id, refund_id),
  FOREIGN KEY (merchant_id, refund_id) REFERENCES operations (merchant_id, operation_id),
  CONSTRAINT decline_belongs_to_failed CHECK ((decline IS NOT NULL) = (status = 'failed'))
);

CREATE INDEX refunds_of_payment ON refunds (merchant_id COLLATE "C", payment_id, refund_id);

CREATE FUNCTION money_goes_where_it_may(
  debit_account text, credit_account text
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN
  debit_account || ' ' || credit_account = ANY ('{
    customer_funds authorization_hold,
    authorization_hold merchant_balance,
    authorization_hold customer_funds,
    merchant_balance refunds,
    refunds merchant_balance,
    refunds customer_funds,
    customer_funds merchant_balance}');
END $$;

-- The ledger: each row moves an amount from one account of the payment to another.
CREATE TABLE transfers (
  merchant_id    text        NOT NULL,
  payment_id     uuid        NOT NULL,
  version        bigint      NOT NULL,
  leg            smallint    NOT NULL CHECK (leg > 0),
  debit_account  text        NOT NULL,
  credit_account text        NOT NULL,
  amount_minor   bigint      NOT NULL CHECK (amount_minor > 0),
  currency       text        NOT NULL,

  PRIMARY KEY (merchant_id, payment_id, version, leg),
  CONSTRAINT money_goes_where_it_may CHECK (
    money_goes_where_it_may(debit_account, credit_account))
);

CREATE FUNCTION is_a_step_of_the_lifecycle(
  type text, status_before text, status text, version bigint
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RETURN CASE
  WHEN status_before IS NULL
    THEN (type = 'payment.created' AND status = 'created' AND version = 1)
      OR type = 'payment.imported'
  ELSE type || ' ' || status_before || ' ' || status = ANY ('{
    payment.authorization_started created processing,
    payment.authorization_started failed processing,
    payment.authorization_started requires_action processing,
    payment.action_required processing requires_action,
    payment.authorized processing authorized,
    payment.failed processing failed,
    payment.capture_started authorized authorized,
    payment.capture_started partially_captured partially_captured,
    payment.capture_failed authorized authorized,
    payment.capture_failed partially_captured partially_captured,
    payment.partially_captured authorized partially_captured,
    payment.partially_captured partially_captured partially_captured,
    payment.captured processing captured,
    payment.captured authorized captured,
    payment.captured partially_captured captured,
    payment.cancel_started authorized authorized,
    payment.cancel_started partially_captured partially_captured,
    payment.cancel_failed authorized authorized,
    payment.cancel_failed partially_captured partially_captured,
    payment.canceled created canceled,
    payment.canceled failed canceled,
    payment.canceled requires_action canceled,
    payment.canceled authorized canceled,
    payment.capture_closed partially_captured captured,
    payment.expired created expired,
    payment.expired requires_action expired,
    payment.expired authorized expired,
    payment.refund_started captured captured,
    payment.refund_started partially_refunded partially_refunded,
    payment.refund_failed captured captured,
    payment.refund_failed partially_refunded partially_refunded,
    payment.partially_refunded captured partially_refunded,
    payment.partially_refunded partially_refunded partially_refunded,
    payment.refunded captured refunded,
    payment.refunded partially_refunded refunded,
    payment.refund_reversed partially_refunded captured,
    payment.refund_reversed partially_refunded partially_refunded,
    payment.refund_reversed refunded captured,
    payment.refund_reversed refunded partially_refunded}') END;
END $$;

-- One row for each version of each payment. transaction_id is the order in which watchers read.
CREATE TABLE events (
  merchant_id    text        NOT NULL,
  payment_id     uuid        NOT NULL,
  version        bigint      NOT NULL CHECK (version >= 1),
  event_id       uuid        NOT NULL,
  type           text        NOT NULL,
  status_before  text,
  status         text        NOT NULL,
  customer_id    text        NOT NULL,
  occurred_at    timestamptz NOT NULL,
  snapshot       json        NOT NULL,
  transaction_id xid8        NOT NULL DEFAULT pg_current_xact_id(),

  PRIMARY KEY (merchant_id, payment_id, version),
  CONSTRAINT is_a_step_of_the_lifecycle CHECK (
    is_a_step_of_the_lifecycle(type, status_before, status, version))
);

-- The order of a watcher: what is below the oldest transaction that still runs will never change.
CREATE INDEX events_in_order
  ON events (merchant_id COLLATE "C", transaction_id, payment_id, version);

-- Transaction numbers mean something within one cluster only. Where the rows were restored into
-- another one, `payment-server migrate` draws a new identity, and cursors of the old one expire.
CREATE TABLE schema_identity (
  one               boolean PRIMARY KEY DEFAULT true CHECK (one),
  identity          uuid    NOT NULL DEFAULT gen_random_uuid(),
  system_identifier bigint  NOT NULL
);
INSERT INTO schema_identity (system_identifier)
SELECT system_identifier FROM pg_control_system();

-- What a worker forgets: answers older than some days. The keys stay.
CREATE INDEX idempotency_answered ON idempotency (created_at)
  WHERE answer IS NOT NULL;

INSERT INTO refunds
SELECT o.merchant_id, o.operation_id, o.payment_id, o.amount_minor, p.currency, p.exponent,
  o.status, '', o.decline, o.created_at, coalesce(o.settled_at, o.created_at)
FROM operations AS o JOIN payments AS p USING (merchant_id, payment_id)
WHERE o.kind = 'refund';

INSERT INTO transfers
SELECT p.merchant_id, p.payment_id, p.version,
  row_number() OVER (PARTITION BY p.merchant_id, p.payment_id ORDER BY t.leg),
  t.debit, t.credit, t.amount, p.currency
FROM payments AS p, LATERAL (VALUES
  (1, 'customer_funds', 'authorization_hold', p.authorized_minor),
  (2, 'authorization_hold', 'merchant_balance', p.captured_minor),
  (3, 'authorization_hold', 'customer_funds', p.voided_minor),
  (4, 'merchant_balance', 'refunds', p.refunded_minor + p.refund_pending_minor),
  (5, 'refunds', 'customer_funds', p.refunded_minor)) AS t (leg, debit, credit, amount)
WHERE t.amount > 0;

INSERT INTO events (merchant_id, payment_id, version, event_id, type, status, customer_id,
  occurred_at, snapshot)
SELECT merchant_id, payment_id, version, gen_random_uuid(), 'payment.imported', status,
  customer_id, updated_at,
  json_build_object('format_version', 1, 'payment', json_build_object(
    'payment_id', payment_id, 'merchant_id', merchant_id, 'customer_id', customer_id,
    'payment_method', payment_method, 'capture_method', capture_method,
    'description', description, 'metadata', metadata, 'currency', currency,
    'exponent', exponent, 'amount_minor', amount_minor, 'status', status,
    'authorized_minor', authorized_minor, 'captured_minor', captured_minor,
    'capture_pending_minor', capture_pending_minor, 'voided_minor', voided_minor,
    'void_pending_minor', void_pending_minor, 'refunded_minor', refunded_minor,
    'refund_pending_minor', refund_pending_minor, 'decline', decline, 'attempts', attempts,
    'version', version, 'created_at', created_at, 'updated_at', updated_at,
    'lapses_at', lapses_at))
FROM payments;

DO $grant$
BEGIN
  -- The ledger and the events are never changed by the service.
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'payment_service') THEN
    GRANT SELECT, INSERT, UPDATE ON refunds TO payment_service;
    GRANT SELECT, INSERT ON transfers, events TO payment_service;
    GRANT SELECT ON schema_identity TO payment_service;
    GRANT EXECUTE ON FUNCTION payment_is_well_formed, amounts_agree_with_status,
      circumstances_agree_with_status, operation_is_well_formed, money_goes_where_it_may,
      is_a_step_of_the_lifecycle TO payment_service;
  END IF;
END
$grant$;
