"""Connections to PostgreSQL, and the one bounded way to run a statement.

Every change of this package may be run twice with the effect of once; that is what allows a
statement whose reply was lost to be sent again on another connection (the old one may still
commit, so looking whether it did would prove nothing). Nothing above awaits PostgreSQL without a
limit: a frozen server does not honour the driver's own time-outs.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import asyncpg

from payment_server.domain.errors import (
    DatabaseUnavailable,
    OutcomeUnknown,
    Overloaded,
    StorageFull,
    TransactionAborted,
)
from payment_server.store.gathering import QUIET_TURNS, Gathered
from payment_server.store.statement import Statement, Wish
from payment_server.tasks import Tasks

log = logging.getLogger(__name__)

CONNECT_LIMIT_SECONDS: Final = 2.0  # a healthy server answers in milliseconds, a remote one in 0.2
CALL_LIMIT_SECONDS: Final = 5.0  # above the server's own limit, which gives the better error
STATEMENT_LIMIT_MS: Final = 4_000
LOCK_LIMIT_MS: Final = 2_000  # row locks are held for one statement, so longer means trouble
IDLE_IN_TRANSACTION_LIMIT_MS: Final = 10_000
ACQUIRE_LIMIT_SECONDS: Final = 15.0  # for callers without a deadline; others leave with theirs
RUNS_LIMIT: Final = 3  # the first run, and two after replies that were lost
RERUN_PAUSE_SECONDS: Final = 0.2  # a database that restarts is back within a few of these

_SESSION: Final = {
    "application_name": "payment-server",
    "statement_timeout": str(STATEMENT_LIMIT_MS),
    "lock_timeout": str(LOCK_LIMIT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_LIMIT_MS),
    "default_transaction_isolation": "read committed",
    "tcp_keepalives_idle": "60",  # keeps idle connections known to what stands in between
    "timezone": "UTC",
    "jit": "off",  # statements of microseconds; compiling one costs a thousand times as much
}

# Everything goes by an index, and the fewest rows win: plans stay when their tables have grown.
_PLANNING: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "random_page_cost": "0",
    "cpu_index_tuple_cost": "1",
    "cpu_tuple_cost": "1",
    # No arguments make another plan better; planning for each costs several times what a read does.
    "plan_cache_mode": "force_generic_plan",
}

_UNSAFE_WHEN_OFF: Final = ("fsync", "full_page_writes", "synchronous_commit")

_LOST: Final = (  # the connection went away, with the reply or before it
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's word when a FATAL meets the next statement
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.CrashShutdownError,
    OSError,
    TimeoutError,
)
_REFUSED: Final = (  # the server answered that it will not, now
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
)

Result = TypeVar("Result")
if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic for type checkers only


class UniqueViolation(Exception):
    """A row with this key exists already: somebody was faster."""


class StatementFailed(Exception):
    """The server refused a statement for a reason that must be a bug of ours.

    Told by code and constraint only: the server's own words quote the row.
    """


class RowRefused(StatementFailed):
    """The fault is in what the row has, not in the statement."""


_FAULTS_OF_ROWS: Final = (UniqueViolation, RowRefused, TransactionAborted)


class UnsafeDatabase(Exception):
    """The server may lose what it has acknowledged; the message says which setting is to blame."""


class Database:
    """A fixed number of connections of our own, each made when first needed.

    Not the driver's pool: that resets a connection on each release, which costs three times what
    a read by key does.
    """

    def __init__(self, url: str, *, connections: int, quiet_turns: int = QUIET_TURNS) -> None:
        """`quiet_turns`: see `gathering`."""
        self._url = url
        self._quiet_turns = quiet_turns
        self._free: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        for _ in range(connections):
            self._free.put_nowait(None)
        self._open: set[Connection] = set()
        self._running = Tasks()
        self._gathered: dict[Statement, Gathered[asyncpg.Record | None]] = {}
        self._closed = False
        self.writable = True
        """Whether there is room for writes; who watches the disk sets it."""

    async def read(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Rows of a statement without effect. Raises DatabaseUnavailable, Overloaded."""
        return await self._call(sql, arguments, None)

    async def write(
        self, sql: str, *arguments: object, repeatable: bool, finishes: bool = False
    ) -> list[asyncpg.Record]:
        """Rows of a statement with an effect, which must be the same when it runs twice.

        `finishes`: it ends what was begun, so it may use the room that is kept in reserve.
        Raises UniqueViolation, DatabaseUnavailable, StorageFull, Overloaded, TransactionAborted,
        and OutcomeUnknown(repeatable) where the last reply was lost.
        """
        if not self.writable and not finishes:
            raise StorageFull("the database's disk is nearly full; reads go on")
        return await self._call(sql, arguments, OutcomeUnknown(repeatable=repeatable))

    async def gather(
        self,
        statement: Statement,
        *row: object,
        subject: str | None = None,
        repeatable: bool = True,
    ) -> asyncpg.Record | None:
        """The reply to one row, whose statement goes together with those of other callers.

        A write must have the effect of once when it runs twice. Rows of one `subject` never go
        together. Raises what `read` and `write` raise; `repeatable` is about this row's caller.
        """
        gathered = self._gathered_by(statement)
        try:
            size_bytes = statement.size_bytes(row)
            return await gathered.reply(row, subject=subject, size_bytes=size_bytes)
        except OutcomeUnknown:
            raise OutcomeUnknown(repeatable=repeatable) from None

    async def gather_each(
        self, statement: Statement, wishes: Sequence[Wish]
    ) -> list[asyncpg.Record | Exception | None]:
        """The replies to many rows of one caller, in their order; what `gather` would have raised
        for a row is in its place."""
        rows = [(each.row, each.subject, statement.size_bytes(each.row)) for each in wishes]
        try:
            replies = await self._gathered_by(statement).replies(rows)
        except (Overloaded, StorageFull) as error:
            return [error] * len(wishes)
        return [
            OutcomeUnknown(repeatable=each.repeatable)
            if isinstance(reply, OutcomeUnknown)
            else reply
            for each, reply in zip(wishes, replies, strict=True)
        ]

    def _gathered_by(self, statement: Statement) -> Gathered[asyncpg.Record | None]:
        if statement.writes and not statement.finishes and not self.writable:
            raise StorageFull("the database's disk is nearly full; reads go on")
        gathered = self._gathered.get(statement)
        if gathered is None:
            gathered = self._gathered[statement] = Gathered(
                partial(self._run_gathered, statement),
                self._running.start,
                faults_of_rows=_FAULTS_OF_ROWS,
                quiet_turns=self._quiet_turns,
            )
        return gathered

    async def _run_gathered(
        self, statement: Statement, take: Callable[[], Sequence[tuple[object, ...]]]
    ) -> list[asyncpg.Record | None]:
        connection = await self._lent()
        rows = take()
        if not rows:
            self._free.put_nowait(connection)
            return []
        found = await self._run(
            connection,
            statement.sql,
            tuple(zip(*rows, strict=True)),
            OutcomeUnknown(repeatable=True) if statement.writes else None,
            is_one_row=len(rows) == 1,
        )
        replies: list[asyncpg.Record | None] = [None] * len(rows)
        for each in found:
            replies[each["nr"] - 1] = each
        return replies

    async def is_up(self) -> bool:
        """Whether the database answers."""
        try:
            await self.read("SELECT 1")
        except (DatabaseUnavailable, Overloaded):
            return False
        return True

    async def refuse_unsafe_settings(self) -> None:
        """Raises UnsafeDatabase where acknowledged writes could be lost in a crash."""
        for name in _UNSAFE_WHEN_OFF:
            rows = await self.read("SELECT current_setting($1)", name)
            if rows[0][0] == "off":
                raise UnsafeDatabase(f"PostgreSQL runs with {name} = off and may lose payments")

    async def close(self) -> None:
        """Lets the statements under way end, within the limit of one, and disconnects."""
        self._closed = True
        await self._running.ended(CALL_LIMIT_SECONDS)
        for connection in self._open:
            connection.terminate()

    async def _call(
        self, sql: str, arguments: tuple[object, ...], unknown: OutcomeUnknown | None
    ) -> list[asyncpg.Record]:
        """Runs to the end, whether or not the caller stays."""
        connection = await self._lent()
        run = self._run(connection, sql, arguments, unknown, is_one_row=True)
        return await self._running.result(run)

    async def _lent(self) -> Connection | None:
        """Waits for a connection, which `_run` gives back; None stands for one yet to be made."""
        self._refuse_if_closed()
        try:
            connection = self._free.get_nowait()
        except asyncio.QueueEmpty:
            connection = await self._next_free()
        if self._closed:
            self._free.put_nowait(connection)
        self._refuse_if_closed()
        return connection

    async def _next_free(self) -> Connection | None:
        try:
            async with asyncio.timeout(ACQUIRE_LIMIT_SECONDS):
                return await self._free.get()
        except TimeoutError:
            raise Overloaded("every database connection is busy") from None

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise DatabaseUnavailable("the connections to the database are closed")

    async def _run(
        self,
        connection: Connection | None,
        sql: str,
        arguments: tuple[object, ...],
        unknown: OutcomeUnknown | None,
        *,
        is_one_row: bool,
    ) -> list[asyncpg.Record]:
        """Runs a statement, and again where its reply was lost.

        Once a run was lost it may have had its effect, so no later refusal may be told as one:
        only a violated key is, which whoever wrote the statement can interpret, if it is clear
        whose key it is.
        """
        lost: Exception | None = None
        try:
            for attempt in range(RUNS_LIMIT):
                if attempt:
                    await asyncio.sleep(RERUN_PAUSE_SECONDS)
                sent = False
                try:
                    connection = await self._connected(connection)
                    sent = True
                    return await bounded(connection, connection.fetch(sql, *arguments))
                except ValueError as error:  # the driver's, and it quotes the argument
                    raise RowRefused(type(error).__name__) from None
                except _LOST as error:
                    log.warning("a database call was cut off: %s", type(error).__name__)
                    lost = unknown if sent and unknown is not None else lost
                    self._drop(connection)
                    connection = None
                    if isinstance(error, TimeoutError):
                        break  # a frozen server stays frozen; the caller has waited long enough
                except asyncpg.UniqueViolationError:
                    raise (lost if lost and not is_one_row else UniqueViolation()) from None
                except asyncpg.PostgresError as error:
                    raise lost or _meaning_of(error) from None
        finally:
            self._free.put_nowait(connection)
        raise lost or DatabaseUnavailable("the database does not answer")

    async def _connected(self, connection: Connection | None) -> Connection:
        if connection is None or connection.is_closed():
            self._drop(connection)
            connection = await connect(self._url, **_PLANNING)
            self._open.add(connection)
        return connection

    def _drop(self, connection: Connection | None) -> None:
        """Whatever state the connection is in, nobody uses it again."""
        if connection is not None:
            self._open.discard(connection)
            connection.terminate()


async def connect(url: str, **further: str) -> Connection:
    """A connection with our limits set, and `further` settings of the server.

    Raises what asyncpg and the network raise, and DatabaseUnavailable for a URL that the driver
    cannot use.
    """
    try:
        # The driver's own limit does not cover every phase of connecting.
        async with asyncio.timeout(CONNECT_LIMIT_SECONDS):
            return await asyncpg.connect(url, server_settings=_SESSION | further)
    except ValueError as error:  # whose words may quote the URL
        kind = type(error).__name__
        raise DatabaseUnavailable(f"the driver cannot use the database's URL ({kind})") from None


def _meaning_of(error: asyncpg.PostgresError) -> Exception:
    """What an error that the server answered means to the service."""
    match error:
        case asyncpg.SerializationError() | asyncpg.DeadlockDetectedError():
            return TransactionAborted()
        case asyncpg.DiskFullError():
            return StorageFull("the database has no room left")
        case asyncpg.QueryCanceledError():
            log.warning("a statement was stopped: SQLSTATE %s", error.sqlstate)
            return DatabaseUnavailable("a statement took longer than the database allows")
        case _ if isinstance(error, _REFUSED):
            log.warning("the database refused a call: SQLSTATE %s", error.sqlstate)
            return DatabaseUnavailable("the database refused the call")
        case asyncpg.DataError() | asyncpg.IntegrityConstraintViolationError():
            return RowRefused(f"SQLSTATE {error.sqlstate}, {error.constraint_name}")
        case _:
            return StatementFailed(f"SQLSTATE {error.sqlstate}, {error.constraint_name}")


async def bounded(
    connection: Connection,
    statement: Coroutine[Any, Any, Result],
    limit_seconds: float | None = None,
) -> Result:
    """Runs a statement, or cuts the connection when the limit is over; raises TimeoutError then.

    Neither the driver's time-out nor a cancellation returns while the server is frozen. Cutting
    the connection does, whatever the statement waits for: it is told at once that it is lost. Who
    is cancelled leaves such a connection behind as well.
    """
    is_late = False

    def cut() -> None:
        nonlocal is_late
        is_late = True
        connection.terminate()

    limit = asyncio.get_running_loop().call_later(limit_seconds or CALL_LIMIT_SECONDS, cut)
    try:
        return await statement
    except asyncio.CancelledError:
        connection.terminate()
        raise
    except Exception:
        if is_late:
            raise TimeoutError from None
        raise
    finally:
        limit.cancel()
