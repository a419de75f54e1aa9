"""What a race without its lock needs more than one with it: another chance to be lost."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Run a control again that was not lost: it shows that a race can be, and a busy machine may keep racers apart.

    A race with its locks runs once: it must never be lost.
    """
    if item.name.startswith("test_control"):
        item.add_marker(pytest.mark.flaky(reruns=3))
