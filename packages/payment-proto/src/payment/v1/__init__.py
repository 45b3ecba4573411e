"""Version 1 of the contract: `payment_pb2` and `payment_pb2_grpc` are generated, `errors` is not.

Nothing is imported here, so that who wants the table of errors does not pay for gRPC.
"""
