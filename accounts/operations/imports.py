"""Accounts that the billing system tells of: facts, each judged by itself, all in one transaction."""

import csv
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from io import StringIO
from itertools import islice
from typing import Any, NamedTuple

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.db import connection, transaction

from accounts.facts import Refusal, Tally
from accounts.judgement import DoubtfulAccount, judge_doubtful
from accounts.models import ImportRun, ParkedRow, User
from accounts.operations import imports_sql as sql
from accounts.operations.parking import POISON, park_facts, parked_keys, sift_poison
from accounts.operations.runs import advance_run
from accounts.signals import accounts_registered

# The first version of the programme's terms starts here (TERMS: preamble): nobody registers before.
EARLIEST_REGISTRATION = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_ADDRESS = 254
ROWS_A_COPY = 1000

REFUSALS = {
    "id": "the account id or the country is too long, the id is empty, or one holds a control character",
    "type": "the account type is neither individual nor enterprise",
    "time": "the time is not RFC 3339 with an offset, lies in the future or before the programme",
    "email": "the e-mail address is none, or another account's",
    "conflict": "the account id is known with other content",
    "referrer": "the referrer is unknown, the account itself, or registered later",
}

_check_address = EmailValidator()


class AccountFact(NamedTuple):
    """One row of an accounts file as it came, in raw text; `line` says where it stood and rises from row to row."""

    line: int
    account_id: str
    email: str
    account_type: str
    country: str
    registered_at: str
    referred_by: str

    @property
    def id(self) -> str:
        return self.account_id

    @property
    def fact(self) -> dict[str, str]:
        return {name: value for name, value in self._asdict().items() if name != "line"}


class _LostRaceError(Exception):
    """Somebody signed up with one of our addresses or ids since we judged it: judge again."""


def import_accounts(
    *, facts: Iterable[AccountFact], now: datetime, run: ImportRun | None = None, lines_done: int = 0
) -> Tally:
    """Register the accounts of a file in one transaction and count what became of each (TERMS: Facts that are refused).

    `facts` is read once and never held whole. An unconfirmed sign-up with an accepted account's address is deleted.
    `accounts_registered` is sent once for all, in the same transaction; so does `run` move on to `lines_done`, and what
    is refused is kept with it. An account that fails by itself is parked, and refused as `parked`. Locks out other
    imports of accounts, and the sign-ups that give way. Raises UnableToAdvanceRun.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        stage(cursor, facts)
        parked = _register_all_but_poison(cursor, now)
        tally = _tally(_verdicts(cursor)) + Tally(refused=len(parked))
        if run is not None:
            _keep_refused(cursor, run)
        cursor.execute(sql.CLEAR)
        if run is not None:
            advance_run(run=run, lines_done=lines_done, tally=tally, refusals=parked)
    return tally


def stage(cursor: Any, facts: Iterable[AccountFact]) -> None:
    """Put facts where they are judged; other imports of accounts wait until the transaction ends."""
    cursor.execute(sql.ONE_AT_A_TIME)
    cursor.execute(sql.STAGE)
    cursor.copy_expert(sql.COPY, _Lines(facts))


class _Lines:
    """The facts as lines of CSV, for COPY to read from."""

    def __init__(self, facts: Iterable[AccountFact]) -> None:
        self._facts = iter(facts)
        self._rest = ""

    def read(self, size: int = -1) -> str:
        """Return up to `size` characters, and none at the end."""
        while len(self._rest) < size and (more := list(islice(self._facts, ROWS_A_COPY))):
            self._rest += _as_csv(more)
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


def _as_csv(facts: Iterable[AccountFact]) -> str:
    """Write the facts as CSV. A NUL, which text cannot hold, becomes another control character."""
    rows = StringIO()
    out = csv.writer(rows)
    for line, *cells in facts:
        out.writerow([line, *(cell.replace("\0", "\1") for cell in cells), _is_address(cells[1])])
    return rows.getvalue()


def _is_address(email: str) -> bool:
    try:
        _check_address(email)
    except ValidationError:
        return False
    return len(email) <= LONGEST_ADDRESS


def _register_all_but_poison(cursor: Any, now: datetime) -> list[Refusal]:
    """Register what is staged, but for the accounts that fail by themselves: park and return those."""

    @transaction.atomic
    def register(lines: Sequence[int] | None = None) -> None:
        if lines is not None:
            cursor.execute(sql.LEAVE_OUT_OTHERS, {"lines": list(lines)})
        if user_ids := register_staged(cursor, now):
            accounts_registered.send(sender=User, user_ids=user_ids, now=now)

    try:
        register()
        poison: list[tuple[AccountFact, Exception]] = []
    except POISON:
        cursor.execute(sql.STAGED)
        facts = {line: AccountFact(line, *cells) for line, *cells in cursor.fetchall()}
        sound, failed = sift_poison(rows=list(facts), rehearse=register)
        register(sound)
        poison = [(facts[line], error) for line, error in failed]
    return _park(cursor, poison, now)


def _park(cursor: Any, poison: Sequence[tuple[AccountFact, Exception]], now: datetime) -> list[Refusal]:
    """Park the accounts that failed by themselves, and clear those that have come again and did not."""
    kind = ParkedRow.Kind.ACCOUNT
    again: list[str] = []
    if parked := parked_keys(kind=kind):
        cursor.execute(sql.STAGED_AMONG, {"accounts": parked})
        again = [row[0] for row in cursor.fetchall()]
    return park_facts(kind=kind, sound=again, poison=poison, now=now)


def register_staged(cursor: Any, now: datetime) -> Sequence[int]:
    """Judge what is staged and insert what is accepted; return the pks of the new users, in order of the file.

    The caller tells the apps above.
    """
    while True:
        try:
            with transaction.atomic():
                _judge(cursor, now)
                return _insert_accepted(cursor, now)
        except _LostRaceError:
            continue


def _judge(cursor: Any, now: datetime) -> None:
    cursor.execute(sql.JUDGE, {"now": now, "earliest": EARLIEST_REGISTRATION})
    cursor.execute(sql.INDEX)
    cursor.execute(sql.REFUSE_UNREFERRED)
    cursor.execute(sql.DOUBTFUL)
    if doubtful := [DoubtfulAccount(*row) for row in cursor.fetchall()]:
        verdicts = judge_doubtful(doubtful)
        cursor.execute(sql.SETTLE_DOUBTFUL, {"lines": list(verdicts), "verdicts": list(verdicts.values())})
    cursor.execute(sql.SETTLE_OTHERS)


def _insert_accepted(cursor: Any, now: datetime) -> Sequence[int]:
    cursor.execute(sql.GIVING_WAY)
    if giving_way := [pk for (pk,) in cursor.fetchall()]:
        User.objects.get_queryset().unconfirmed().filter(pk__in=giving_way).delete()
    cursor.execute(sql.MAKE_REGISTERED)
    cursor.execute(sql.REGISTER, {"password": make_password(None), "now": now})
    if cursor.rowcount != _verdicts(cursor).get("accepted", 0):
        raise _LostRaceError
    user_ids = _registered()
    cursor.execute(sql.CONFIRM_ADDRESSES)
    if cursor.rowcount != len(user_ids):
        raise _LostRaceError
    return user_ids


def _registered() -> Sequence[int]:
    """Return the pks of the new users in order of the file: eight bytes each, and read a few at a time."""
    with connection.chunked_cursor() as reading:
        reading.execute(sql.REGISTERED)
        return array("q", (pk for (pk,) in reading))


def _verdicts(cursor: Any) -> dict[str, int]:
    cursor.execute(sql.COUNT_VERDICTS)
    return dict(cursor.fetchall())


def _keep_refused(cursor: Any, run: ImportRun) -> None:
    codes, messages = list(REFUSALS), list(REFUSALS.values())
    cursor.execute(sql.KEEP_REFUSED, {"run": run.pk, "codes": codes, "messages": messages})


def _tally(verdicts: dict[str, int]) -> Tally:
    refused = sum(count for verdict, count in verdicts.items() if verdict in REFUSALS)
    return Tally(accepted=verdicts.get("accepted", 0), duplicate=verdicts.get("duplicate", 0), refused=refused)
