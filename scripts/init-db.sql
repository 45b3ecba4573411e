-- Prepares a PostgreSQL server for payment-server: two roles and an empty database. The tables
-- come by `payment-server migrate`, which runs as payment_owner.
--
-- Compose runs it on a new cluster. On a server of one's own, as its superuser:
--   PAYMENT_OWNER_PASSWORD=… PAYMENT_SERVICE_PASSWORD=… psql -f scripts/init-db.sql
-- What is there already stays as it is.
\set ON_ERROR_STOP on
\getenv owner_password PAYMENT_OWNER_PASSWORD
\getenv service_password PAYMENT_SERVICE_PASSWORD

SELECT format('CREATE ROLE payment_owner LOGIN PASSWORD %L', :'owner_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'payment_owner')
\gexec

SELECT format('CREATE ROLE payment_service LOGIN PASSWORD %L', :'service_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'payment_service')
\gexec

-- Code point order, which is the same on every system. From 17 on PostgreSQL brings it along.
SELECT 'CREATE DATABASE payment OWNER payment_owner TEMPLATE template0 ENCODING ''UTF8'' '
  || CASE
       WHEN current_setting('server_version_num')::int >= 170000
       THEN 'LOCALE ''C'' LOCALE_PROVIDER builtin BUILTIN_LOCALE ''C.UTF-8'''
       ELSE 'LOCALE ''C.UTF-8'''
     END
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'payment')
\gexec

REVOKE ALL ON DATABASE payment FROM PUBLIC;
GRANT CONNECT ON DATABASE payment TO payment_service;
