"""The embedded servers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Servers:
    data_dir: Path
    postgres: bool
    valkey: bool
    durable: bool = True

    def database(self) -> dict[str, Any]:
        return {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres", "HOST": str(self.data_dir / "sockets")}

    def redis_url(self) -> str:
        return f"unix://{self.data_dir}/sockets/valkey.sock"
