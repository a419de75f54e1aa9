"""How rows of an accounts file that claim one id or one address are judged, with those whom they refer.

Pure: no Django, no clock, no database. Facts are judged in the order in which they stand, as if each came alone; a
referrer may stand anywhere and counts only if it is itself accepted (TERMS: Facts that are refused).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DoubtfulAccount:
    """A well-formed row whose id is new. `is_tied`: it shares its id or its address with another row.

    `own_fault` is what it fails by itself after `conflict`; `referrer_counts` is empty where that hangs on another
    doubtful row.
    """

    line: int
    account_id: str
    address: str
    content: str
    registered_at: datetime
    referred_by: str
    own_fault: str | None
    is_tied: bool
    referrer_counts: bool | None


Accepted = Mapping[str, DoubtfulAccount]


def judge_doubtful(accounts: Sequence[DoubtfulAccount]) -> dict[int, str]:
    """Return the verdict on every line: `accepted`, `duplicate` or the code of its refusal.

    The rows are read believing in everybody at first; where that never comes to rest (one takes the address of its own
    referrer), in nobody; and where that does not either, rows are given up one by one, the first first, as `referrer`,
    and taken back where the rest comes to rest with them too.
    """
    given_up: set[int] = set()
    verdicts, at_rest = _read_until_rest(accounts, given_up)
    if not at_rest:
        from_nobody, at_rest = _read_until_rest(accounts, given_up, believed={})
        verdicts = from_nobody if at_rest else verdicts
    while not at_rest:
        given_up.add(min(line for line in verdicts if verdicts[line] == "referrer" and line not in given_up))
        verdicts, at_rest = _read_until_rest(accounts, given_up)
    for line in sorted(given_up):
        with_it, at_rest = _read_until_rest(accounts, given_up - {line})
        if at_rest:
            given_up.remove(line)
            verdicts = with_it
    return verdicts


def _read_until_rest(
    accounts: Sequence[DoubtfulAccount], given_up: Set[int], believed: Accepted | None = None
) -> tuple[dict[int, str], bool]:
    """Read the tied rows again and again, at first with `believed` (None: every referrer), then with those accepted the
    last time.

    Return the verdicts, and true, once a reading changes nothing. Where readings repeat instead, return false and all
    verdicts with `referrer` on every tied row that was refused so in one of them.
    """
    tied = [account for account in accounts if account.is_tied]
    alone = {account.account_id: account for account in accounts if not account.is_tied}
    refused: dict[int, str] = {}
    seen: set[frozenset[int]] = set()
    while True:
        verdicts, accepted = _read(tied, believed, given_up)
        baseless = set(_baseless(alone, accepted))
        standing = {**accepted, **{name: account for name, account in alone.items() if name not in baseless}}
        if standing == believed:
            of_alone = {one.line: "referrer" if name in baseless else "accepted" for name, one in alone.items()}
            return verdicts | of_alone, True
        refused |= {line: verdict for line, verdict in verdicts.items() if verdict == "referrer"}
        state = frozenset(account.line for account in standing.values())
        if state in seen:
            return verdicts | refused, False
        seen.add(state)
        believed = standing


def _read(
    tied: Sequence[DoubtfulAccount], believed: Accepted | None, given_up: Set[int]
) -> tuple[dict[int, str], dict[str, DoubtfulAccount]]:
    """Judge the tied rows once, in their order; `believed` None takes every referrer for good."""
    verdicts: dict[int, str] = {}
    accepted: dict[str, DoubtfulAccount] = {}
    addresses: set[str] = set()
    for account in tied:
        known = accepted.get(account.account_id)
        if known is not None:
            verdicts[account.line] = "duplicate" if known.content == account.content else "conflict"
        elif account.own_fault:
            verdicts[account.line] = account.own_fault
        elif account.address in addresses:
            verdicts[account.line] = "email"
        elif account.line in given_up or not _referrer_counts(account, believed):
            verdicts[account.line] = "referrer"
        else:
            verdicts[account.line] = "accepted"
            accepted[account.account_id] = account
            addresses.add(account.address)
    return verdicts, accepted


def _referrer_counts(account: DoubtfulAccount, believed: Accepted | None) -> bool:
    if account.referrer_counts is not None:
        return account.referrer_counts
    if believed is None:
        return True
    referrer = believed.get(account.referred_by)
    return referrer is not None and referrer.registered_at <= account.registered_at


def _baseless(alone: Accepted, accepted: Accepted) -> Iterator[str]:
    """Yield who stands alone and whose referrer does not count, then those whom they refer, and so on."""
    friends: defaultdict[str, list[str]] = defaultdict(list)
    for name, account in alone.items():
        friends[account.referred_by].append(name)
    hanging = [
        name
        for name, account in alone.items()
        if account.referred_by not in alone and not _referrer_counts(account, accepted)
    ]
    while hanging:
        name = hanging.pop()
        yield name
        hanging += friends.get(name, [])
