"""Every write of accounts."""

from accounts.operations.api_keys import UnableToCreateKey, create_api_key, note_use, revoke_api_key
from accounts.operations.imports import AccountFact, import_accounts
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
    "UnableToAddPaymentMethod",
    "UnableToAdvanceRun",
    "UnableToCreateKey",
    "UnableToSignUp",
    "UnableToVerify",
    "add_payment_method",
    "advance_run",
    "analyse_grown_tables",
    "clear_parked",
    "confirm_address",
    "create_api_key",
    "discard_unconfirmed",
    "do_all_but_poison",
    "finish_run",
    "identity_digest",
    "import_accounts",
    "make_way",
    "note_use",
    "park",
    "park_facts",
    "parked_keys",
    "pass_verification",
    "refuse_verification",
    "register",
    "remove_payment_method",
    "remove_second_factors",
    "revoke_api_key",
    "sift_poison",
    "sign_up",
    "start_run",
    "write_messages",
]
