"""Every write of accounts."""

from accounts.operations.imports import AccountFact, import_accounts
from accounts.operations.outbox import (
    Delivered,
    Message,
    deliver,
    empty_outbox,
    post,
    whom_to_tell,
    write_messages,
)
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
    "Delivered",
    "Identity",
    "Message",
    "Parked",
    "UnableToAddPaymentMethod",
    "UnableToAdvanceRun",
    "UnableToSignUp",
    "UnableToVerify",
    "add_payment_method",
    "advance_run",
    "analyse_grown_tables",
    "clear_parked",
    "confirm_address",
    "deliver",
    "discard_unconfirmed",
    "do_all_but_poison",
    "empty_outbox",
    "finish_run",
    "identity_digest",
    "import_accounts",
    "make_way",
    "park",
    "park_facts",
    "parked_keys",
    "pass_verification",
    "post",
    "refuse_verification",
    "register",
    "remove_payment_method",
    "remove_second_factors",
    "sift_poison",
    "sign_up",
    "start_run",
    "whom_to_tell",
    "write_messages",
]
