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
from credits.operations.lines import Line, PaidPurchase, preview_lines, redeem_lines
from credits.operations.parts import CouponPart, redeem_parts
from credits.operations.redemptions import RedemptionFact, UnableToRedeem, record_redemptions, redeem
from credits.operations.reminders import remind_expiring
from credits.operations.returns import GivenBack, UnableToGiveBack, give_back, return_credit

__all__ = [
    "CouponPart",
    "DebtSettlement",
    "GivenBack",
    "Line",
    "NewCoupon",
    "NewDebt",
    "PaidPurchase",
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
    "preview_lines",
    "record_redemptions",
    "redeem",
    "redeem_lines",
    "redeem_parts",
    "remind_expiring",
    "return_credit",
    "revoke_amounts",
    "revoke_coupons",
    "settle_debts",
    "write_off_debts",
]
