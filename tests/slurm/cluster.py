"""A real SLURM of four nodes on this machine: munged, slurmctld and a slurmd each, from a configuration written here.

The plugin's job step drops SLURM_CONF, so the configuration must lie in /etc/slurm; what was there is put back. Each
node claims more CPUs and memory than the machine has, and eight GPUs, which SLURM counts and hands out as it would real
ones (any device file will do for one). Test processes share one cluster: it ends with the last of them.
"""

import fcntl
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

ETC = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun", "setpriv")
GPUS = 8
NODES = ("n1", "n2", "n3", "n4")
FRAGILE = "fragile"  # a partition whose nodes a test may set down: nothing else runs there

MARK = "# Written by tests/slurm, for as long as they run."

CONF = """\
{mark}
ClusterName={name}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ReturnToService=1
KillWait=10
MessageTimeout=60
NodeName=n[1-4] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{ports}] CPUs=64 RealMemory={memory} Gres=gpu:{gpus}
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
PartitionName={fragile} Nodes=n[3-4] MaxTime=INFINITE State=UP
"""


def unavailable() -> str | None:
    """Why no SLURM can be started here, in one line; None if it can."""
    if os.geteuid() != 0:
        return "SLURM tests need root, to write /etc/slurm and to start munged as its user"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"SLURM is not installed (no {missing[0]}): apt-get install slurm-wlm munge"
    answer = subprocess.run(["scontrol", "ping"], capture_output=True, text=True).stdout
    if "UP" in answer and not _ours():
        return "SLURM tests would replace /etc/slurm/slurm.conf, and a SLURM is running with it"
    if len(_devices()) < GPUS:
        return f"SLURM tests need {GPUS} device files in /dev to stand for GPUs"
    return None


class Cluster:
    """A running cluster, and what its users ask of it. A test's jobs are known by the folder in which they work."""

    def state(self, number: str) -> str:
        """The state of a job that SLURM remembers."""
        return command("squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T").strip()

    def running(self, folder: Path) -> dict[str, str]:
        """The rule and wildcards (the plugin's comment) of every running job, by its number."""
        return self._jobs(folder, "%k", "--states=running")

    def active(self, folder: Path) -> list[str]:
        """The jobs that wait, run or are ending."""
        return list(self._jobs(folder, "%T"))

    def drain(self, folder: Path) -> None:
        """Cancel what is left, and wait until it is gone."""
        if jobs := self.active(folder):
            for how in (["--signal=KILL"], []):
                subprocess.run(["scancel", *how, *jobs], check=False, capture_output=True)
        wait_for(lambda: not self.active(folder), "jobs to end")

    def end_now(self, number: str) -> None:
        """Let a job's time be over: SLURM looks every half minute. (A time limit has whole minutes.)

        In the second in which the job began SLURM refuses: an end is behind a beginning.
        """
        update = ["scontrol", "update", f"jobid={number}", "endtime=now"]
        wait_for(lambda: subprocess.run(update, capture_output=True).returncode == 0, "an end to be taken", 60)

    def _jobs(self, folder: Path, what: str, *options: str) -> dict[str, str]:
        lines = command("squeue", "--noheader", *options, f"--format=%i|%Z|{what}").splitlines()
        jobs = [line.split("|", 2) for line in lines]
        return {number: found for number, where, found in jobs if where == str(folder)}


def command(*words: str) -> str:
    """The output of a command, which must succeed."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def wait_for(true: Callable[[], object], what: str, seconds: float = 600) -> None:
    """Wait until something is true; fail after that many seconds, which are more than a busy machine takes."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


@contextmanager
def started() -> Iterator[Cluster]:
    """Start the cluster, or join the one that another test process has started; who started it ends it, as the last."""
    ETC.mkdir(parents=True, exist_ok=True)
    with (ETC / ".tests.lock").open("w") as lock:
        while not _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits while another process starts or ends it
            if _ours():
                yield Cluster()
                return
        folder = Path(tempfile.mkdtemp(prefix="mmr1-slurm-", dir="/tmp"))
        folder.chmod(0o755)  # munged is another user
        name = f"tests{os.getpid()}"
        kept = _kept()
        daemons: list[subprocess.Popen[bytes]] = []
        try:
            _configure(folder, name)
            daemons.append(_munged(folder))
            daemons.append(_daemon(folder, "slurmctld", "-D", "-c"))
            daemons += [_daemon(folder, "slurmd", "-D", "-N", name) for name in NODES]
            wait_for(lambda: _idle_nodes() == len(NODES), f"idle nodes; see {folder}", 120)
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield Cluster()
            fcntl.flock(lock, fcntl.LOCK_EX)  # waits for those who joined
        finally:
            _cancel_everything()
            for daemon in reversed(daemons):
                daemon.terminate()
            for daemon in daemons:
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
            _end_strays(name)
            for file in FILES:
                (ETC / file).unlink(missing_ok=True)
                if file in kept:
                    (ETC / file).write_bytes(kept[file])
            shutil.rmtree(folder, ignore_errors=True)


def _locked(file: TextIO, how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    return True


def _ours() -> bool:
    """Whether the configuration in /etc/slurm is one of these tests."""
    path = ETC / "slurm.conf"
    return path.exists() and MARK in path.read_text()


def _cancel_everything() -> None:
    """Leave no job of a test that failed behind: jobs outlive their slurmd."""
    for how in (["--signal=KILL"], []):
        subprocess.run(["scancel", "--user=root", *how], check=False, capture_output=True)
    # Where SLURM is gone already, or a job does not end, the daemons go all the same.
    with suppress(subprocess.SubprocessError, TimeoutError):
        wait_for(lambda: not command("squeue", "--noheader").strip(), "jobs to end", 60)


def _end_strays(cluster: str) -> None:
    """End what jobs left behind: of one on a node that was down SLURM no longer knows."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours
            if f"SLURM_CLUSTER_NAME={cluster}".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def _kept() -> dict[str, bytes]:
    """The site's own configuration, to be put back: not what an earlier, killed test run left."""
    return {} if _ours() else {name: (ETC / name).read_bytes() for name in FILES if (ETC / name).exists()}


def _configure(folder: Path, cluster: str) -> None:
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    controller, first = _free_ports(1), _free_ports(len(NODES))
    values = {"controller": controller, "ports": f"{first}-{first + len(NODES) - 1}", "gpus": GPUS, "memory": 256000}
    (ETC / "slurm.conf").write_text(CONF.format(mark=MARK, name=cluster, folder=folder, fragile=FRAGILE, **values))
    (ETC / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in _devices()[:GPUS]))


def _munged(folder: Path) -> subprocess.Popen[bytes]:
    user = pwd.getpwnam("munge")
    own = folder / "munge"
    own.mkdir(mode=0o755)
    (own / "key").write_bytes(os.urandom(128))
    (own / "key").chmod(0o600)
    for path in (own, own / "key"):
        os.chown(path, user.pw_uid, user.pw_gid)
    names = {"key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed", "socket": "socket"}
    options = [f"--{option}={own / name}" for option, name in names.items()]
    daemon = _daemon(folder, "munged", "--foreground", *options, user=user.pw_uid, group=user.pw_gid)
    wait_for((own / "socket").exists, f"munged; see {folder}", 60)
    return daemon


def _daemon(folder: Path, *words: str, **options: int) -> subprocess.Popen[bytes]:
    with (folder / f"{words[0]}.out").open("ab") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *words],  # they end with the tests, however these end
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C reaches the tests first, which need SLURM to clean up
            **options,  # type: ignore[call-overload]
        )


def _idle_nodes() -> int:
    listing = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%T"], capture_output=True, text=True)
    return listing.stdout.split().count("idle")


def _devices() -> list[Path]:
    return sorted(path for path in Path("/dev").iterdir() if stat.S_ISCHR(path.lstat().st_mode))


def _free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("0.0.0.0", port))
            return first
        except OSError:
            continue
