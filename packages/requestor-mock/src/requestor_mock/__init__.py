"""An outside requestor of the payment service: REST and GraphQL over payment-client.

It stands for any program of another team: what it needs must be in payment-client, and it must
never reach around it.
"""
