-- Payments, what was asked of the processor for them, and the keys that callers used.
-- merchant_id leads every key and index, so that rows can be spread by merchant.

CREATE TABLE payments (
  merchant_id           text        NOT NULL CHECK (merchant_id ~ '^[a-z0-9_-]{1,64}$'),
  payment_id            uuid        NOT NULL,
  customer_id           text        NOT NULL CHECK (char_length(customer_id) BETWEEN 1 AND 255),
  payment_method        text        NOT NULL CHECK (char_length(payment_method) BETWEEN 1 AND 255),
  capture_method        text        NOT NULL CHECK (capture_method IN ('automatic', 'manual')),
  description           text        NOT NULL CHECK (char_length(description) <= 1000),
  metadata              jsonb       NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
  currency              text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  exponent              smallint    NOT NULL CHECK (exponent IN (0, 2, 3)),
  amount_minor          bigint      NOT NULL CHECK (amount_minor > 0),
  status                text        NOT NULL CHECK (status IN (
    'created', 'requires_action', 'processing', 'authorized', 'partially_captured', 'captured',
    'partially_refunded', 'refunded', 'failed', 'canceled', 'expired')),
  authorized_minor      bigint      NOT NULL DEFAULT 0 CHECK (authorized_minor >= 0),
  captured_minor        bigint      NOT NULL DEFAULT 0 CHECK (captured_minor >= 0),
  capture_pending_minor bigint      NOT NULL DEFAULT 0 CHECK (capture_pending_minor >= 0),
  voided_minor          bigint      NOT NULL DEFAULT 0 CHECK (voided_minor >= 0),
  void_pending_minor    bigint      NOT NULL DEFAULT 0 CHECK (void_pending_minor >= 0),
  refunded_minor        bigint      NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
  refund_pending_minor  bigint      NOT NULL DEFAULT 0 CHECK (refund_pending_minor >= 0),
  decline               jsonb,
  attempts              smallint    NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 10),
  version               bigint      NOT NULL DEFAULT 1 CHECK (version >= 1),
  created_at            timestamptz NOT NULL,
  updated_at            timestamptz NOT NULL CHECK (updated_at >= created_at),

  PRIMARY KEY (merchant_id, payment_id),
  CONSTRAINT authorized_is_not_exceeded CHECK (
    captured_minor + capture_pending_minor + voided_minor + void_pending_minor <= authorized_minor
    AND authorized_minor <= amount_minor),
  CONSTRAINT captured_is_not_exceeded CHECK (
    refunded_minor + refund_pending_minor <= captured_minor),
  CONSTRAINT decline_belongs_to_failed CHECK ((decline IS NOT NULL) = (status = 'failed')),
  CONSTRAINT status_agrees_with_amounts CHECK (CASE
    WHEN status IN ('created', 'requires_action', 'processing', 'failed')
      THEN authorized_minor = 0
    WHEN status = 'authorized'
      THEN captured_minor = 0 AND voided_minor < authorized_minor
    WHEN status = 'partially_captured'
      THEN captured_minor > 0 AND captured_minor + voided_minor < authorized_minor
    WHEN status = 'captured'
      THEN captured_minor > 0 AND captured_minor + voided_minor = authorized_minor
       AND refunded_minor = 0
    WHEN status = 'partially_refunded'
      THEN refunded_minor > 0 AND refunded_minor < captured_minor
    WHEN status = 'refunded'
      THEN captured_minor > 0 AND refunded_minor = captured_minor
    ELSE captured_minor = 0 AND voided_minor = authorized_minor
  END)
);

-- A customer's payments, newest first. Payments at large are listed along the primary key: ids
-- are UUIDv7, so they are in the order of creation.
CREATE INDEX payments_by_customer ON payments (merchant_id, customer_id, payment_id);

CREATE TABLE operations (
  merchant_id     text        NOT NULL,
  operation_id    uuid        NOT NULL,
  payment_id      uuid        NOT NULL,
  kind            text        NOT NULL CHECK (kind IN ('authorize', 'capture', 'cancel', 'refund')),
  status          text        NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
  amount_minor    bigint      NOT NULL CHECK (amount_minor >= 0),
  captures        boolean     NOT NULL,
  payment_method  text        NOT NULL,
  decline         jsonb,
  idempotency_key text,
  created_at      timestamptz NOT NULL,
  settled_at      timestamptz,
  -- Until then, by this database's clock, somebody is at work on it.
  lease_until     timestamptz NOT NULL DEFAULT now(),

  PRIMARY KEY (merchant_id, operation_id),
  FOREIGN KEY (merchant_id, payment_id) REFERENCES payments (merchant_id, payment_id),
  CONSTRAINT settled_when_not_pending CHECK ((settled_at IS NULL) = (status = 'pending')),
  CONSTRAINT decline_belongs_to_failed CHECK ((decline IS NOT NULL) = (status = 'failed'))
);

-- What a crash left unfinished; nearly empty at all times.
CREATE INDEX operations_pending ON operations (merchant_id, lease_until) WHERE status = 'pending';

CREATE TABLE idempotency (
  merchant_id         text        NOT NULL,
  idempotency_key     text        NOT NULL CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
  fingerprint         bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
  fingerprint_version smallint    NOT NULL,
  payment_id          uuid        NOT NULL,
  operation_id        uuid,
  -- What the caller was told; null while the operation's outcome is outstanding.
  answer              json,
  created_at          timestamptz NOT NULL,

  PRIMARY KEY (merchant_id, idempotency_key)
);

DO $grant$
BEGIN
  -- On a server where one role does everything there is nobody to grant to.
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'payment_service') THEN
    GRANT SELECT, INSERT, UPDATE ON payments, operations, idempotency TO payment_service;
    GRANT SELECT ON schema_migrations TO payment_service;
  END IF;
END
$grant$;
