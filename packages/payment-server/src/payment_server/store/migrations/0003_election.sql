-- Which of the processes on this database does the work that nobody calls for.

CREATE TABLE election (
  one    boolean     PRIMARY KEY DEFAULT true CHECK (one),
  holder uuid,
  -- Until then, by this database's clock, nobody else begins.
  until  timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO election DEFAULT VALUES;

DO $grant$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'payment_service') THEN
    GRANT SELECT, UPDATE ON election TO payment_service;
  END IF;
END
$grant$;
