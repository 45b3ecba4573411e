"""Between the contract's messages and the client's values: `requests` out, `answers` in."""
