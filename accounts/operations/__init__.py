"""Every write of accounts."""

from accounts.operations.closing import UnableToClose, lock_to_close, shut
from accounts.operations.imports import AccountFact, import_accounts
from accounts.operations.known_addresses import address_digest, known_by_address, remember_address
from accounts.operations.outbox import Message, write_messages
from accounts.operations.parking import (
    POISON,
    Parked,
    clear_parked,
    do_all_but_poison,
    park,
    park_facts,
    parked_keys,
    sift_poison,
)
from accounts.operations.profile import Profile, UnableToChangeAddress, change_address, change_profile
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
from accounts.operations.statistics import analyse_grown_tables
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
    "POISON",
    "AccountFact",
    "Identity",
    "Message",
    "Parked",
    "Profile",
    "UnableToAddPaymentMethod",
    "UnableToAdvanceRun",
    "UnableToChangeAddress",
    "UnableToClose",
    "UnableToSignUp",
    "UnableToVerify",
    "add_payment_method",
    "address_digest",
    "advance_run",
    "analyse_grown_tables",
    "change_address",
    "change_profile",
    "clear_parked",
    "confirm_address",
    "discard_unconfirmed",
    "do_all_but_poison",
    "finish_run",
    "identity_digest",
    "import_accounts",
    "known_by_address",
    "lock_to_close",
    "make_way",
    "park",
    "park_facts",
    "parked_keys",
    "pass_verification",
    "refuse_verification",
    "register",
    "remember_address",
    "remove_payment_method",
    "remove_second_factors",
    "shut",
    "sift_poison",
    "sign_up",
    "start_run",
    "write_messages",
]
