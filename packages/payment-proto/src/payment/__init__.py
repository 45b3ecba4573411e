"""The payment service's contract."""
