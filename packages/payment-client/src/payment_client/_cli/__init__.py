"""The command line `payments`, an extra of the package: nothing imports it but its entry point.

The libraries that it needs come with `payment-client[cli]`; without them it says so.
"""

import sys
from typing import Final, NoReturn

LIBRARIES: Final = frozenset({"click", "rich"})
"""What the extra brings. Any other module that is missing is a fault, and told as one."""
LIBRARIES_MISSING: Final = 12
"""The exit code where they are not there; `exits` has all the others, and cannot be asked then."""


def main() -> NoReturn:
    """The entry point of `payments`."""
    try:
        from payment_client._cli.commands import run
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        print(  # noqa: T201 - nothing better is there
            "payments: the command line is an extra: pip install 'payment-client[cli]'",
            file=sys.stderr,
        )
        sys.exit(LIBRARIES_MISSING)
    sys.exit(run())
