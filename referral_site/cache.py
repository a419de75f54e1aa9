"""The cache, which nothing may depend on."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT")


def or_else(answer: Callable[..., AnswerT]) -> Callable[[Callable[..., AnswerT]], Callable[..., AnswerT]]:
    """Take this answer, of the same arguments, where the server gives none."""

    def forgiving(ask: Callable[..., AnswerT]) -> Callable[..., AnswerT]:
        @wraps(ask)
        def answered(*args: Any, **kwargs: Any) -> AnswerT:
            try:
                return ask(*args, **kwargs)
            except (RedisError, OSError) as fault:
                logger.warning("No cache: %s", type(fault).__name__)
                return answer(*args, **kwargs)

        return answered

    return forgiving


class ForgivingClient(RedisCacheClient):
    """A server that is down is an empty cache that forgets at once.

    `add` succeeds then: it is how limits take their lock, and a limit that cannot be counted must let people in.
    """

    add = or_else(lambda *args: True)(RedisCacheClient.add)
    get = or_else(lambda client, key, default: default)(RedisCacheClient.get)
    set = or_else(lambda *args: None)(RedisCacheClient.set)
    touch = or_else(lambda *args: False)(RedisCacheClient.touch)
    delete = or_else(lambda *args: False)(RedisCacheClient.delete)
    get_many = or_else(lambda *args: {})(RedisCacheClient.get_many)
    has_key = or_else(lambda *args: False)(RedisCacheClient.has_key)
    incr = or_else(lambda client, key, delta: delta)(RedisCacheClient.incr)
    set_many = or_else(lambda *args: None)(RedisCacheClient.set_many)
    delete_many = or_else(lambda *args: None)(RedisCacheClient.delete_many)
    clear = or_else(lambda *args: False)(RedisCacheClient.clear)


class ForgivingCache(RedisCache):
    """Django's cache on Redis or Valkey, without which the site still works."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = ForgivingClient
