"""The bare HTTP echo: Litestar on uvicorn and uvloop, JSON in, the same JSON out.

Set up as requestor-mock is, without anything behind it.
"""

import socket
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import uvicorn
from litestar import Litestar, post
from litestar.params import Body

from scripts.bench.ready import write_ready


class Payment(msgspec.Struct):
    """The body of requestor-mock's REST create, in and out."""

    amount: str
    customer_id: str
    currency: str = "USD"
    payment_method: str = "card"


@post("/api/payments")
async def create_payment(data: Annotated[Payment, Body()]) -> Payment:
    return data


def main(ready_file: Path) -> None:
    app = Litestar([create_payment], openapi_config=None)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    write_ready(ready_file, http_port=listener.getsockname()[1])
    config = uvicorn.Config(
        app, loop="uvloop", log_config=None, access_log=False, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
