"""How fast the engine is, beside raw SQL that writes the same rows (docs/scaling.md).

Both sides work in one scratch database, on the same tables with their indexes, constraints and triggers, in turns: each
turn has a slice of the seeded referrals of its own, so that neither finds its work done by the other.
"""
