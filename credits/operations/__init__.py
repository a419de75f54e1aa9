"""Every write of credit."""

from credits.operations.coupons import (
    NewCoupon,
    Revocation,
    expire_coupons,
    issue_coupons,
    lock_accounts,
    open_accounts,
    revoke_amounts,
    revoke_coupons,
)
from credits.operations.debts import DebtSettlement, NewDebt, open_debts, settle_debts, write_off_debts
from credits.operations.parts import CouponPart, redeem_parts
from credits.operations.redemptions import RedemptionFact, UnableToRedeem, record_redemptions, redeem
from credits.operations.reminders import remind_expiring
from credits.operations.returns import UnableToGiveBack, give_back

__all__ = [
    "CouponPart",
    "DebtSettlement",
    "NewCoupon",
    "NewDebt",
    "RedemptionFact",
    "Revocation",
    "UnableToGiveBack",
    "UnableToRedeem",
    "expire_coupons",
    "give_back",
    "issue_coupons",
    "lock_accounts",
    "open_accounts",
    "open_debts",
    "record_redemptions",
    "redeem",
    "redeem_parts",
    "remind_expiring",
    "revoke_amounts",
    "revoke_coupons",
    "settle_debts",
    "write_off_debts",
]
