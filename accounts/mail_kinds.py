"""Which mails a customer may switch off, and how the others are treated."""

SWITCHES = {
    "friend_joined": "wants_friend_mail",
    "friend_qualified": "wants_friend_mail",
    "welcome_credit": "wants_credit_mail",
    "credit_arrived": "wants_credit_mail",
    "credit_expiring": "wants_expiry_mail",
    "verification_decided": "wants_account_mail",
}
"""The field of User that switches a kind on and off. A kind that is not here tells of money held or lost, or of the
account's security: it is always sent."""

FAREWELLS = frozenset({"account_closed"})
"""What goes to those who are no customers any more."""

TO_ELSEWHERE = FAREWELLS | {"address_changed"}
"""What reaches somebody who cannot open the profile with it."""

ACCOUNT_NOTICE = "account_notice"
"""What sign-in and sign-up send, worded when it was asked for: a code, a way to a new password, a change made."""

EMPTIED_WHEN_SENT = frozenset({ACCOUNT_NOTICE})
"""What opens an account must not lie about: these are emptied as soon as they are sent."""
