"""How the statements that write events begin, and what keeps them from writing what nobody wants."""

WEBHOOK_EVENT = "INSERT INTO accounts_webhookevent (key, type, stream, payload, created_at)"


def wanted(event_type: str) -> str:
    """The condition that some endpoint that is on wants events of this type.

    It does not depend on the rows: asked once a statement, which reads nothing else where nobody wants to know.
    """
    return (
        "EXISTS (SELECT FROM accounts_webhookendpoint "
        f"WHERE switched_off_at IS NULL AND events ? '{event_type}')"  # a constant of the code
    )
