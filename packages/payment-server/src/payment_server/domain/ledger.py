"""The ledger: every movement of money names the account that it leaves and the one that it reaches.

A payment's amounts are sums over these rows; nothing here is ever changed or removed.
"""

from enum import StrEnum

import msgspec

from payment_server.domain.payment import Payment


class Account(StrEnum):
    """Where a payment's money may be."""

    CUSTOMER_FUNDS = "customer_funds"
    AUTHORIZATION_HOLD = "authorization_hold"
    MERCHANT_BALANCE = "merchant_balance"
    REFUNDS = "refunds"
    """Set aside for refunds that are under way."""


class Transfer(msgspec.Struct, frozen=True):
    """`amount_minor` above zero moves from `debit` to `credit`."""

    debit: Account
    credit: Account
    amount_minor: int


def transfers_between(before: Payment, after: Payment) -> tuple[Transfer, ...]:
    """What moved between two versions of a payment."""
    given_back = after.refunded_minor - before.refunded_minor
    set_aside = after.refund_pending_minor - before.refund_pending_minor + max(given_back, 0)
    customer, hold = Account.CUSTOMER_FUNDS, Account.AUTHORIZATION_HOLD
    merchant, refunds = Account.MERCHANT_BALANCE, Account.REFUNDS
    moved = (
        (customer, hold, after.authorized_minor - before.authorized_minor),
        (hold, merchant, after.captured_minor - before.captured_minor),
        (hold, customer, after.voided_minor - before.voided_minor),
        (merchant, refunds, set_aside),
        (refunds, merchant, -set_aside),
        (refunds, customer, given_back),
        (customer, merchant, -given_back),  # a refund that failed after all
    )
    return tuple(Transfer(debit, credit, minor) for debit, credit, minor in moved if minor > 0)
