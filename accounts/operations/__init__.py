"""Every write of accounts."""

from accounts.operations.imports import AccountFact, import_accounts
from accounts.operations.registration import (
    UnableToSignUp,
    confirm_address,
    discard_unconfirmed,
    make_way,
    register,
    sign_up,
)
from accounts.operations.runs import UnableToAdvanceRun, advance_run, finish_run, start_run
from accounts.operations.second_factor import remove_second_factors
from accounts.operations.verification import (
    Identity,
    UnableToAddPaymentMethod,
    UnableToVerify,
    add_payment_method,
    identity_digest,
    pass_verification,
    refuse_verification,
    remove_payment_method,
)

__all__ = [
    "AccountFact",
    "Identity",
    "UnableToAddPaymentMethod",
    "UnableToAdvanceRun",
    "UnableToSignUp",
    "UnableToVerify",
    "add_payment_method",
    "advance_run",
    "confirm_address",
    "discard_unconfirmed",
    "finish_run",
    "identity_digest",
    "import_accounts",
    "make_way",
    "pass_verification",
    "refuse_verification",
    "register",
    "remove_payment_method",
    "remove_second_factors",
    "sign_up",
    "start_run",
]
