"""All SQL and everything that touches PostgreSQL; nothing above knows that it is PostgreSQL."""
