"""The product on servers of its own, with processes that can be killed: what the crash tests are played on."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import psutil
import psycopg2
import redis
from celery.beat import Scheduler
from celery.schedules import crontab
from django.core.management import call_command
from django.db import connections

from referral_site.celery import app
from referral_site.embedded import Servers
from referral_site.embedded.postgres import Postgres
from referral_site.embedded.valkey import Valkey
from referral_site.management.commands.run import children
from tests.crash.world import write_files
from tests.database import url_of
from tests.running import ROOT, environment, manage

LONGEST_WAIT = 120
"""Seconds, after which something has gone wrong."""

GATE = 20260103
"""The advisory lock at which stands whoever is to be stopped."""

PUT_GATE = """
CREATE FUNCTION stand_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT {condition}) THEN
        PERFORM pg_advisory_xact_lock_shared({gate});
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stand_at_gate AFTER INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION stand_at_gate()
"""
AT_GATE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
"""

TRACKED = "SELECT count(*) = 0 FROM billing_spendbatch WHERE applied_at IS NULL"

Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Books:
    """What the exports say, without ids, and without the instants that depend on when a sweep ran."""

    coupons: Rows
    entries: Rows
    referrals: Rows


class Launched:
    """A worker or a beat, in a group of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    @property
    def pids(self) -> list[int]:
        """Its process and those of its pool."""
        parent = psutil.Process(self.process.pid)
        return [parent.pid, *(child.pid for child in parent.children(recursive=True))]

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it whole, a worker's pool too, with SIGKILL."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Gate:
    """A place in the database at which its users stand until it is opened."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def wait(self, *, users: int = 1) -> None:
        """Wait until so many stand there."""
        until(lambda: self.stand() == users)

    def stand(self) -> int:
        self.cursor.execute(AT_GATE, [GATE])
        return int(self.cursor.fetchone()[0])

    def open(self) -> None:
        self.cursor.execute("SELECT pg_advisory_unlock(%s)", [GATE])


class Stage:
    """Servers, a database that is like new for every test, and the processes that work on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        self.clock = folder / "clock"
        self.servers = Servers(data_dir=folder, postgres=True, valkey=True, durable=True)
        postgres, valkey = self.servers.embedded()
        assert isinstance(postgres, Postgres)
        assert isinstance(valkey, Valkey)
        self.postgres, self.valkey = postgres, valkey
        self.worker: Launched | None = None
        self.ahead = 0.0
        self.launched: list[Launched] = []
        app.loader.import_default_modules()
        self.scheduler = Scheduler(app)
        self.baselines: dict[str, Books] = {}

    # The servers and the database

    def open(self) -> None:
        """Start the servers and make the world that every test begins with."""
        self.postgres.start()
        self.valkey.start()
        with self.cursor("postgres") as cursor:
            cursor.execute("CREATE DATABASE world")
        write_files(self.folder)
        command = [sys.executable, "-m", "tests.crash.world", str(self.folder)]
        subprocess.run(command, cwd=ROOT, env=self.environment("world"), check=True, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        self.end_all()
        self.valkey.stop()
        self.postgres.stop()

    def begin(self) -> None:
        """Go back to the world as it was: a database like new, nothing queued, every clock right."""
        self.postgres.start()
        self.valkey.start()
        with self.cursor("postgres") as cursor:
            cursor.execute("DROP DATABASE IF EXISTS play WITH (FORCE)")
            # Copied by way of the log, as is the default, sequences go back to where they were if the server crashes.
            cursor.execute("CREATE DATABASE play TEMPLATE world STRATEGY file_copy")
        self.broker().flushall()
        self.journal.write_text("")
        self.set_clock(0)

    def environment(self, database: str = "play", **more: str) -> dict[str, str]:
        return environment(
            REFERRAL_DATA_DIR=str(self.folder),
            DATABASE_URL=url_of(self.database(database)),
            REDIS_URL=self.servers.redis_url(),
            DJANGO_SETTINGS_MODULE="referral_site.settings",
            CRASH_JOURNAL=str(self.journal),
            CRASH_CLOCK=str(self.clock),
            **more,
        )

    def database(self, name: str) -> dict[str, Any]:
        return {**connections["default"].settings_dict, **self.servers.database(), "NAME": name}

    @contextmanager
    def cursor(self, database: str = "play") -> Iterator[Any]:
        """A session that commits each statement, and that may end with the server."""
        session = psycopg2.connect(host=str(self.servers.sockets), user="postgres", dbname=database)
        session.autocommit = True
        try:
            yield session.cursor()
        finally:
            session.close()

    def asked(self, question: str, *parameters: object) -> Any:
        """Return the one value that a statement asks for."""
        with self.cursor() as cursor:
            cursor.execute(question, parameters)
            return cursor.fetchone()[0]

    def count(self, table: str) -> int:
        return int(self.asked(f"SELECT count(*) FROM {table}"))

    def break_postgres_off(self) -> None:
        """Stop Postgres as a crash does: nobody is waited for, and nothing is written any more."""
        self.postgres.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.postgres.data))

    def broker(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.valkey.socket))

    def kill_broker(self) -> None:
        process = self.valkey.process()
        assert process is not None
        process.kill()
        until(lambda: self.valkey.process() is None)

    # Places to stop at

    @contextmanager
    def gate(self, *, after: str, when: str) -> Iterator[Gate]:
        """Let whoever has written to the table `after` stand there, within the transaction, when `SELECT when` says
        so; until the gate is opened, or its keeper goes."""
        with self.cursor() as cursor:
            cursor.execute(PUT_GATE.format(table=after, condition=when, gate=GATE))
            cursor.execute("SELECT pg_advisory_lock(%s)", [GATE])
            yield Gate(cursor)

    @contextmanager
    def table_taken_behind(self, table: str, gate: Gate) -> Iterator[None]:
        """Take the whole table as soon as the transaction that stands at the gate has ended; wait until the next one
        waits for it."""
        with self.cursor() as cursor:
            cursor.execute("BEGIN")
            taking = Thread(target=cursor.execute, args=[f"LOCK TABLE {table} IN EXCLUSIVE MODE"])
            taking.start()
            until(lambda: self.asked(WAITING) == 2)
            gate.open()
            taking.join()
            until(lambda: self.asked(WAITING) == 1)
            yield

    def wait_until_nobody_is_connected(self) -> None:
        """Wait until the database has noticed whom it has lost."""
        until(lambda: self.asked(SESSIONS) == 0)

    # Processes

    def launch(self, *arguments: str, **more: str) -> Launched:
        with (self.folder / "launched.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.launched.append(Launched(process))
        return self.launched[-1]

    def launch_celery(self, name: str, *arguments: str, **more: str) -> Launched:
        """Start `worker` or `beat` as `manage.py run` does, but with the app that tests can watch."""
        command = ["tests.crash.launched" if part == "referral_site" else part for part in children()[name]]
        return self.launch(*command, *arguments, **more)

    def start_worker(self, *, without: str = "", **more: str) -> Launched:
        """Start a worker, for a control `without` a safety."""
        self.worker = self.launch_celery("worker", CRASH_WITHOUT=without, **more)
        return self.worker

    def start_beat(self) -> Launched:
        """Start a beat that looks at its clock each second, and wait until it does."""
        beat = self.launch_celery("beat", "--max-interval", "1")
        until(lambda: [str(beat.process.pid)] in self.lines("beats"))
        return beat

    def end_all(self) -> None:
        """Kill what runs still."""
        for one in self.launched:
            if one.is_alive():
                one.kill()
        self.launched.clear()
        self.worker = None

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        settings = self.environment()
        return manage(
            *arguments, **{name: settings[name] for name in ("REFERRAL_DATA_DIR", "DATABASE_URL", "REDIS_URL")}
        )

    def run_by_its_clock(self, *arguments: str) -> str:
        """Run a command whose clock is as wrong as the others'; return its last line."""
        command = [sys.executable, "-m", "tests.crash.launched", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment(), check=True, capture_output=True, text=True)
        return done.stdout.splitlines()[-1]

    def set_clock(self, ahead: float) -> None:
        """Let the launched processes' clocks run so many seconds ahead, and wait until those that run do."""
        self.ahead = ahead
        draft = self.clock.with_suffix(".new")
        draft.write_text(str(float(ahead)))
        draft.rename(self.clock)
        until(lambda: self.running() <= {int(pid) for pid, said in self.lines("clock") if float(said) == ahead})

    def running(self) -> set[int]:
        """The processes that run now; a worker may have begun a new one for its pool."""
        return {pid for one in self.launched if one.is_alive() for pid in one.pids}

    # Tasks

    def send(self, *names: str, **options: Any) -> list[str]:
        """Send these entries of the schedule, each as beat does but for these options; return the tasks' ids."""
        with app.connection_for_write(app_url(self.servers.redis_url())) as connection:
            producer = app.amqp.Producer(connection, auto_declare=False)
            entries = [copy(self.scheduler.schedule[name]) for name in names]
            for entry in entries:
                entry.options = (entry.options or {}) | options
            return [self.scheduler.apply_async(entry, producer=producer, advance=False).id for entry in entries]

    def let_beat_send(self, name: str) -> list[str]:
        """Move all clocks on to when this job is due next, and wait until a worker has begun it; return the task."""
        entry = self.scheduler.schedule[name]
        task, schedule = str(entry.task), entry.schedule
        assert isinstance(schedule, crontab)
        known = set(self.begun(task))
        moved = datetime.now(UTC) + timedelta(seconds=self.ahead)
        self.set_clock(schedule.remaining_estimate(moved).total_seconds() - 0.2)
        until(lambda: bool(set(self.begun(task)) - known))
        return sorted(set(self.begun(task)) - known)

    def begun(self, task: str) -> list[str]:
        return [task_id for task_id, _, name in self.lines("began") if name == task]

    def wait_for(self, ids: Sequence[str]) -> list[str]:
        """Wait until the tasks have ended, and return how."""
        until(lambda: set(ids) <= set(self.ended()))
        return [self.ended()[task_id] for task_id in ids]

    def tick(self, **options: Any) -> list[str]:
        """Send every job of the schedule but the audit, and wait until all have ended; return how."""
        return self.wait_for(self.send(*(name for name in self.scheduler.schedule if name != "audit"), **options))

    def lines(self, word: str) -> list[list[str]]:
        """What the journal has under this word, without it."""
        lines = [line.split() for line in self.journal.read_text().splitlines()]
        return [line[1:] for line in lines if line[0] == word]

    def ended(self) -> dict[str, str]:
        return {task_id: state for task_id, _, state in self.lines("ended")}

    def endings(self, task_id: str) -> list[str]:
        """How a task has ended, each time that it was delivered."""
        return [state for ended, _, state in self.lines("ended") if ended == task_id]

    def queued(self) -> int:
        """How many messages the broker holds, for a worker or by one."""
        broker: Any = self.broker()
        return int(broker.llen("celery") + broker.hlen("unacked"))

    def runners(self, task_id: str) -> list[int]:
        """The processes that have begun a task, in their order."""
        return [int(pid) for begun, pid, _ in self.lines("began") if begun == task_id]

    # The books

    @contextmanager
    def doors(self) -> Iterator[None]:
        """Let commands that are called here work on the stage's database."""
        before = connections["default"]
        connections["default"] = type(before)(self.database("play"), "default")
        try:
            yield
        finally:
            connections["default"].close()
            connections["default"] = before

    def books(self) -> Books:
        with self.doors():
            coupons, entries, referrals = (exported(f"export_{name}") for name in ("coupons", "entries", "referrals"))
        of_a_sweep = {coupon["coupon_id"] for coupon in coupons if coupon["kind"] in ("payout", "bonus")}
        for coupon in coupons:
            if coupon.pop("coupon_id") in of_a_sweep:
                del coupon["issued_at"], coupon["expires_at"]
        for entry in entries:
            del entry["entry_id"], entry["recorded_at"]
            if entry.pop("coupon_id") in of_a_sweep:
                del entry["occurred_at"]
        return Books(*(sorted(tuple(row.values()) for row in rows) for rows in (coupons, entries, referrals)))

    def faults(self) -> str:
        """What `manage.py audit` finds; nothing where the books are clean."""
        said = io.StringIO()
        with self.doors():
            try:
                call_command("audit", stdout=said)
            except SystemExit:
                return said.getvalue()
        return ""

    def assert_one_tick_catches_up(self) -> None:
        """Tick once, and find what an undisturbed run would have come to."""
        assert set(self.tick()) == {"SUCCESS"}
        assert self.faults() == ""
        assert self.books() == self.undisturbed()

    def undisturbed(self, *, then: str = "") -> Books:
        """What a tick makes of the world when nothing happens; `then` another one, after this file of spend."""
        if then not in self.baselines:
            self.end_all()
            self.begin()
            self.start_worker()
            self.tick()
            if then:
                self.manage("import_spend", str(self.folder / then))
                self.tick()
            self.baselines[then] = self.books()
            assert self.faults() == ""
        return self.baselines[then]


def app_url(redis_url: str) -> str:
    """The address of a broker as Celery wants it."""
    return redis_url.replace("unix://", "redis+socket://", 1)


def exported(command: str) -> list[dict[str, str]]:
    out = io.StringIO()
    call_command(command, to="-", stdout=out, stderr=io.StringIO())
    out.seek(0)
    return list(csv.DictReader(out))


def until(it_is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = monotonic() + LONGEST_WAIT
    while not it_is_so():
        assert monotonic() < deadline, "It does not come about."
        sleep(0.02)
