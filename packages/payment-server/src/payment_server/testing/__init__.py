"""For the tests of those who call this service: the service itself, once per run of pytest.

Its fixtures come with the installation (see `plugin`); `outcomes` names the payment methods that
decide what becomes of a payment. It runs the program as it is, and must never imitate it.
"""

from payment_server.testing.line import PaymentLine
from payment_server.testing.service import PaymentService

__all__ = ["PaymentLine", "PaymentService"]
