"""Sign-ups, confirmations, verification and links at once. Each lock and key has its control: without it, a race is
lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from threading import Event
from unittest.mock import patch

import pytest
from allauth.account.models import EmailAddress
from django.db import transaction

from accounts.models import IdentityVerification, User
from accounts.operations import (
    AccountFact,
    add_payment_method,
    confirm_address,
    discard_unconfirmed,
    import_accounts,
    imports,
    imports_sql,
    pass_verification,
    sign_up,
    verification,
)
from accounts.operations import register as register_confirmed
from accounts.operations import registration as sign_up_module
from accounts.retries import conflicts
from credits.models import Coupon
from credits.operations import coupons
from referrals.models import Referral, ReferralLink
from referrals.operations import admit, links, registration
from tests.facts import JANUARY, NOW, register
from tests.newcomers import PASSWORD, identity, referrer
from tests.races.racing import (
    LONGEST_WAIT,
    Meeting,
    at_once,
    key_of,
    meeting_after,
    meeting_before,
    names,
    replaced,
    until,
    waiting,
    without_condition,
    without_constraint,
    without_row_locks,
)

pytestmark = pytest.mark.django_db(transaction=True)

BOB = "bob@example.com"


@pytest.fixture
def alice() -> User:
    return register("alice")


def begin(email: str = BOB, **attribution: str) -> User:
    return sign_up(email=email, password=PASSWORD, country="DE", attribution=attribution, now=NOW)


# A confirmation, and what would take the sign-up away


class Confirming:
    """A confirmation that has begun and waits until another job waits for it, or has ended."""

    def __init__(self, bob: User) -> None:
        self.bob = bob
        self.begun, self.other_ended = Event(), Event()
        self.was_waited_for = False

    def confirm(self) -> bool:
        address = EmailAddress.objects.get(user=self.bob)

        def mark() -> bool:
            self.begun.set()
            until(lambda: bool(waiting()) or self.other_ended.is_set())
            self.was_waited_for = bool(waiting())
            address.verified = True
            address.save()
            return register_confirmed(user_id=self.bob.pk, now=NOW)

        return confirm_address(user_id=self.bob.pk, confirm=mark)

    def meanwhile(self, job: Callable[[], object]) -> list[object]:
        """Run the job while the confirmation goes on; return how both ended."""

        def other() -> object:
            assert self.begun.wait(LONGEST_WAIT)
            try:
                return job()
            finally:
                self.other_ended.set()

        return at_once(self.confirm, other)


def test_a_newer_sign_up_waits_for_a_confirmation_and_finds_the_address_taken() -> None:
    bob = begin()
    assert names(Confirming(bob).meanwhile(begin)) == ["done", "email"]
    assert User.objects.get().is_registered


def test_control_without_the_lock_the_newer_sign_up_takes_an_account_away_that_is_being_confirmed() -> None:
    bob = begin()
    with without_row_locks(User):
        assert names(Confirming(bob).meanwhile(begin)) == ["IntegrityError", "done"]
    assert not User.objects.get().is_registered


def discard_while_it_is_confirmed(lock: AbstractContextManager[object]) -> tuple[object, bool, bool]:
    """Return how many were discarded, whether that waited for the confirmation, and whether bob has registered."""
    confirming = Confirming(begin())
    with lock:
        _, discarded = confirming.meanwhile(lambda: discard_unconfirmed(before=NOW))
    return discarded, confirming.was_waited_for, User.objects.filter(registered_at__isnull=False).exists()


def test_a_sign_up_that_is_being_confirmed_is_not_discarded_nor_waited_for() -> None:
    assert discard_while_it_is_confirmed(nullcontext()) == (0, False, True)


def test_control_without_the_lock_it_is_discarded() -> None:
    assert discard_while_it_is_confirmed(without_row_locks(User)) == (1, False, False)


def test_control_without_skipping_what_is_locked_the_job_waits_for_a_visitor() -> None:
    discard = sign_up_module._discard
    waits = patch.object(
        sign_up_module, "_discard", lambda sign_ups, *, limit, skip_locked: discard(sign_ups, limit=limit)
    )
    assert discard_while_it_is_confirmed(waits) == (0, True, True)


def import_bob() -> object:
    fact = AccountFact(2, "imported", BOB, "individual", "DE", JANUARY.isoformat(), "")
    return import_accounts(facts=[fact], now=NOW)


def import_while_it_is_confirmed(lock: AbstractContextManager[object]) -> list[str]:
    """Import an account with bob's address; where that fails at first, no second look is taken."""
    with lock, patch.object(imports, "POISON", ()):
        return [str(end) for end in Confirming(begin()).meanwhile(import_bob)]


def test_an_import_waits_for_a_confirmation_and_refuses_the_address() -> None:
    assert import_while_it_is_confirmed(nullcontext()) == ["True", "accepted=0 waiting=0 duplicate=0 refused=1"]


def test_control_without_the_lock_the_import_and_the_confirmation_block_each_other() -> None:
    lock = replaced(imports_sql, "GIVING_WAY", "FOR UPDATE OF sign_up", "")
    before = deadlocks()
    _, imported = import_while_it_is_confirmed(lock)
    assert "deadlock detected" in imported or deadlocks() > before, "whichever of them was undone"


def deadlocks() -> int:
    """Return how often a deadlock has undone something that began anew."""
    return sum(count for (_, kind, _), count in conflicts.counts().items() if kind == "deadlock")


# Once


def sign_up_thrice_and_confirm() -> list[str]:
    """Send one form off three times at once, with one link, and confirm what came of it twice at once."""
    code = referrer("alice").code
    with meeting_after(sign_up_module, "make_way", Meeting(3)):
        ends = at_once(*[lambda: begin(code=code, typed="")] * 3)
    found = list(User.objects.filter(email=BOB))
    at_once(*[lambda user=user: register_confirmed(user_id=user.pk, now=NOW) for user in found * 2])
    return names(ends)


def test_the_same_sign_up_thrice_at_once_makes_one_friend() -> None:
    """Each was told that it is waited for; the last one has the address."""
    assert sign_up_thrice_and_confirm() == ["done"] * 3
    bob = User.objects.get(email=BOB)
    assert Referral.objects.get().friend == bob
    assert Coupon.objects.filter(customer_id=bob.pk).count() == 2


def test_control_without_the_key_the_same_sign_up_makes_three_friends() -> None:
    with without_constraint("email_is_unique_on_lower_case"):
        sign_up_thrice_and_confirm()
        assert Referral.objects.count() == 3


def confirm_twice() -> list[object]:
    bob = begin()
    with meeting_before(transaction, "atomic", Meeting(2)):
        return at_once(*[lambda: register_confirmed(user_id=bob.pk, now=NOW)] * 2)


def test_a_sign_up_that_is_confirmed_twice_at_once_registers_once() -> None:
    assert sorted(map(bool, confirm_twice())) == [False, True]


def test_control_without_the_condition_it_registers_twice() -> None:
    with patch.object(type(User.objects.get_queryset()), "unconfirmed", lambda accounts: accounts):
        assert confirm_twice() == [True, True]


def admit_twice() -> User:
    """Take bob in twice at once, when neither has found that he is in."""
    alice = register("alice")
    bob = User.objects.create(
        account_id="bob",
        email=BOB,
        created_at=NOW,
        registered_at=NOW,
        signup_attribution={"referred_by": alice.account_id},
    )
    with meeting_before(registration, "open_accounts", Meeting(2)):
        assert names(at_once(*[lambda: admit(user_ids=[bob.pk], now=NOW)] * 2)) == ["done", "done"]
    return bob


def test_a_friend_who_is_taken_in_twice_at_once_has_one_referrer_and_one_of_each_gift() -> None:
    bob = admit_twice()
    assert Referral.objects.filter(friend=bob).count() == 1
    assert list(Coupon.objects.filter(customer_id=bob.pk).order_by("kind").values_list("kind", flat=True)) == [
        "trial",
        "welcome",
    ]


def test_control_without_the_key_a_friend_is_referred_twice() -> None:
    no_conflict = replaced(registration, "REFER", "ON CONFLICT (friend_id) DO NOTHING", "")
    # A coupon names a friend by that key: without it, it goes too.
    with (
        without_constraint("coupon_friend_is_referred"),
        without_constraint(key_of("referrals_referral", "friend_id")),
        no_conflict,
    ):
        assert Referral.objects.filter(friend=admit_twice()).count() == 2


def test_control_without_the_key_a_friend_gets_each_gift_twice() -> None:
    no_conflict = replaced(coupons, "ISSUE", "ON CONFLICT (source) DO NOTHING", "")
    with without_constraint(key_of("credits_coupon", "source")), no_conflict:
        assert Coupon.objects.filter(customer_id=admit_twice().pk).count() == 4


def import_the_same_twice() -> list[str]:
    """Import one account from two files at once, when neither has found it, and with no lock between the two."""
    lock = replaced(imports_sql, "ONE_AT_A_TIME", "SELECT pg_advisory_xact_lock(20260102, 0)", "SELECT 1")
    with lock, meeting_after(imports, "_judge", Meeting(2)):
        return sorted(str(end) for end in at_once(import_bob, import_bob))


def test_the_key_alone_lets_an_account_be_imported_once() -> None:
    assert import_the_same_twice() == [
        "accepted=0 waiting=0 duplicate=1 refused=0",
        "accepted=1 waiting=0 duplicate=0 refused=0",
    ]


def test_control_without_the_keys_an_account_is_imported_twice() -> None:
    with ExitStack() as keys:
        for key in (
            key_of("accounts_user", "account_id"),
            "email_is_unique_on_lower_case",
            "unique_verified_email",
        ):
            keys.enter_context(without_constraint(key))
        assert import_the_same_twice() == ["accepted=1 waiting=0 duplicate=0 refused=0"] * 2


# Verification, payment methods and links


def passer(user: User, number: str = "P1", account_type: str = "individual") -> Callable[[], IdentityVerification]:
    return lambda: pass_verification(user_id=user.pk, identity=identity(number), account_type=account_type, now=NOW)


def pass_twice(user: User) -> list[str]:
    with meeting_after(verification, "_lock_unless_passed", Meeting(2)):
        return names(at_once(*[passer(user, account_type="enterprise")] * 2))


def test_an_account_that_is_verified_twice_at_once_passes_once(alice: User) -> None:
    assert pass_twice(alice) == ["done", "passed"]
    assert Coupon.objects.filter(customer_id=alice.pk, source__contains="-upgrade:").count() == 1


def test_control_without_the_lock_it_passes_twice(alice: User) -> None:
    """Even then the coupon's key gives the difference once."""
    with without_row_locks(User):
        assert pass_twice(alice) == ["done", "done"]
    assert Coupon.objects.filter(customer_id=alice.pk, source__contains="-upgrade:").count() == 1


def two_accounts_of_one_person(alice: User) -> list[bool]:
    """Verify two accounts with one document at once, when neither has found the other."""
    again = register("alice-again")
    with meeting_after(verification, "_lock_unless_passed", Meeting(2)):
        at_once(passer(alice), passer(again))
    return sorted(IdentityVerification.objects.values_list("is_eligible", flat=True))


def test_of_two_accounts_verified_at_once_with_one_identity_one_is_eligible(alice: User) -> None:
    assert two_accounts_of_one_person(alice) == [False, True]


def test_control_without_the_key_both_are_eligible(alice: User) -> None:
    with without_constraint("one_account_of_a_person_is_eligible"):
        assert two_accounts_of_one_person(alice) == [True, True]


def verify_while_a_card_is_added(alice: User) -> int:
    """Do the last two things that a link needs, at once; return how many links there are."""
    with meeting_after(links, "_may_refer", Meeting(2)):
        ends = at_once(passer(alice), lambda: add_payment_method(user_id=alice.pk, now=NOW))
    assert names(ends) == ["done", "done"]
    return ReferralLink.objects.count()


def test_a_card_and_a_verification_at_once_bring_the_link(alice: User) -> None:
    assert verify_while_a_card_is_added(alice) == 1


def test_control_without_the_lock_neither_sees_the_other_and_there_is_no_link(alice: User) -> None:
    with without_row_locks(User):
        assert verify_while_a_card_is_added(alice) == 0


def add_two_cards(alice: User) -> list[object]:
    with meeting_before(transaction, "atomic", Meeting(2)):
        return at_once(*[lambda: add_payment_method(user_id=alice.pk, now=NOW)] * 2)


def test_a_payment_method_that_is_added_twice_at_once_is_told_once(alice: User) -> None:
    assert sorted(map(bool, add_two_cards(alice))) == [False, True]


def test_control_without_the_condition_it_is_told_twice(alice: User) -> None:
    with without_condition(User, payment_method_added_at=None):
        assert add_two_cards(alice) == [True, True]


def give_two_links(alice: User) -> list[str]:
    add_payment_method(user_id=alice.pk, now=NOW)
    with patch("referrals.receivers.welcome_verified"):
        passer(alice)()
    with meeting_after(links, "new_code", Meeting(2)):
        return names(at_once(*[lambda: links.give_link(user_id=alice.pk, now=NOW)] * 2))


def test_a_link_that_is_given_twice_at_once_is_one(alice: User) -> None:
    assert give_two_links(alice) == ["done", "done"]
    assert ReferralLink.objects.count() == 1


def test_control_without_the_key_there_are_two(alice: User) -> None:
    with without_constraint(key_of("referrals_referrallink", "owner_id")):
        ends = give_two_links(alice)
        assert "MultipleObjectsReturned" in ends or ReferralLink.objects.count() == 2
