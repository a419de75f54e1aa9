"""The part of a Celery worker that talks to the broker."""

from typing import Any

from celery.worker import consumer


class Consumer(consumer.Consumer):
    """What takes tasks from the broker, and outlives it."""

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of a broker that is gone, before the worker waits for it to come back.

        kombu 5.7 closes a channel twice then. The first time it reads the answer for which the channel still waits: it
        cannot come, and the channel stays half open. The second time it finds no broker's address any more, and what it
        raises ends the worker. So no channel waits for an answer.
        """
        connection: Any = self.connection
        for channel in connection.transport.channels:
            channel._in_poll = None
        super().on_connection_error_after_connected(exc)
