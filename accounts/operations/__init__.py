"""Every write of accounts."""

from accounts.operations.api_keys import UnableToCreateKey, create_api_key, note_use, revoke_api_key
from accounts.operations.closing import UnableToClose, lock_to_close, shut
from accounts.operations.eligibility import UnableToMoveEligibility, give_eligibility, move_eligibility
from accounts.operations.identifiers import card_digest, keyed_digest, remember_identifier
from accounts.operations.imports import AccountFact, import_accounts
from accounts.operations.known_addresses import address_digest, known_by_address, remember_address
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
    MOST_AT_ONCE,
    POISON,
    Parked,
    clear_parked,
    do_all_but_poison,
    park,
    park_facts,
    parked_keys,
    sift_poison,
)
from accounts.operations.payment_methods import (
    UnableToAddPaymentMethod,
    add_payment_method,
    keep_payment_method,
    remove_payment_method,
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
from accounts.operations.told import UnableToRegister, record_person, record_unverified, record_verified, register_told
from accounts.operations.verification import (
    Identity,
    Submission,
    UnableToVerify,
    decide_verification,
    identity_digest,
    pass_verification,
    refuse_verification,
    submit_verification,
)

__all__ = [
    "MOST_AT_ONCE",
    "POISON",
    "AccountFact",
    "Delivered",
    "Identity",
    "Message",
    "Parked",
    "Profile",
    "Submission",
    "UnableToAddPaymentMethod",
    "UnableToAdvanceRun",
    "UnableToChangeAddress",
    "UnableToClose",
    "UnableToCreateKey",
    "UnableToMoveEligibility",
    "UnableToRegister",
    "UnableToSignUp",
    "UnableToVerify",
    "add_payment_method",
    "address_digest",
    "advance_run",
    "analyse_grown_tables",
    "card_digest",
    "change_address",
    "change_profile",
    "clear_parked",
    "confirm_address",
    "create_api_key",
    "decide_verification",
    "deliver",
    "discard_unconfirmed",
    "do_all_but_poison",
    "empty_outbox",
    "finish_run",
    "give_eligibility",
    "identity_digest",
    "import_accounts",
    "keep_payment_method",
    "keyed_digest",
    "known_by_address",
    "lock_to_close",
    "make_way",
    "move_eligibility",
    "note_use",
    "park",
    "park_facts",
    "parked_keys",
    "pass_verification",
    "post",
    "record_person",
    "record_unverified",
    "record_verified",
    "refuse_verification",
    "register",
    "register_told",
    "remember_address",
    "remember_identifier",
    "remove_payment_method",
    "remove_second_factors",
    "revoke_api_key",
    "shut",
    "sift_poison",
    "sign_up",
    "start_run",
    "submit_verification",
    "whom_to_tell",
    "write_messages",
]
