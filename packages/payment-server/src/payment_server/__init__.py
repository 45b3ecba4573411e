"""A payment service and its sandbox: one program, a processor apart."""
