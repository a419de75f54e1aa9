"""A broker that is down holds nobody up."""

import time

import pytest
from kombu.exceptions import OperationalError

from referral_site.celery import app
from tests.running import free_port


@pytest.mark.parametrize("address", ["redis://127.0.0.1:{port}/0", "redis+socket:///tmp/no-such-socket-{port}"])
def test_a_broker_that_is_down_fails_a_send_at_once(address: str) -> None:
    began = time.monotonic()
    with (
        app.connection_for_write(address.format(port=free_port())) as connection,
        pytest.raises(OperationalError),
    ):
        app.send_task("referrals.tasks.track_spend", connection=connection)

    assert time.monotonic() - began < 2
