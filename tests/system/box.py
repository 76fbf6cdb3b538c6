"""Boots a throw-away copy of this machine's root under a real systemd, in about a second.

The root is an overlay: below, this machine's `/`; above, a tmpfs. Both are mounted in a private mount
namespace in which only systemd-nspawn lives, so the mount table of this machine never changes, and
whatever ends nspawn (`down`, a crash of the tests, kill -9) frees every mount.
"""

import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

# Units that are slow, useless or noisy in a box; names that do not exist do no harm.
MASKED = [
    "systemd-udevd.service",
    "systemd-udevd-kernel.socket",
    "systemd-udevd-control.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-settle.service",
    "systemd-hwdb-update.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-pstore.service",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "systemd-random-seed.service",
    "systemd-machine-id-commit.service",
    "systemd-firstboot.service",
    "systemd-binfmt.service",
    "systemd-journal-flush.service",
    "systemd-journal-catalog-update.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-remount-fs.service",
    "systemd-tmpfiles-setup-dev.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-fs-fuse-connections.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "ldconfig.service",
    "e2scrub_reap.service",
    "openipmi.service",
    "postgresql.service",
    "postgresql@.service",
    "console-getty.service",
    "container-getty@.service",
    "getty@.service",
    "getty.target",
    "serial-getty@.service",
    "autovt@.service",
    "networking.service",
    "ssh.service",
    "cron.service",
    "prometheus.service",
    "prometheus-node-exporter.service",
]
LOGINS = [
    "systemd-logind.service",
    "dbus-org.freedesktop.login1.service",
    "systemd-user-sessions.service",
    "dbus.service",
    "dbus.socket",
]
REBOOTED = 133
"""What nspawn ends with when the box reboots itself."""


def why_not() -> str | None:
    """Why no box can run here; None if one can."""
    if sys.platform != "linux":
        return "not Linux"
    if os.geteuid() != 0:
        return "not root (systemd-nspawn needs CAP_SYS_ADMIN)"
    for tool, package in {
        "systemd-nspawn": "systemd-container",
        "systemctl": "systemd",
        "unshare": "util-linux",
        "nsenter": "util-linux",
        "setpriv": "util-linux",
    }.items():
        if shutil.which(tool) is None:
            return f"{tool} is missing (apt-get install {package})"
    kernel = Path("/proc/filesystems").read_text().split()
    for needed in ("overlay", "tmpfs", "cgroup2"):
        if needed not in kernel:
            return f"the kernel has no {needed}"
    if _cgroup2() is None:
        return "no writable cgroup2 hierarchy"
    mount = (
        "mount -t tmpfs t /mnt; mkdir /mnt/u /mnt/w /mnt/r; "
        "mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w o /mnt/r; "
        "test -e /mnt/r/etc"
    )
    probe = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", mount],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no overlay of /: {probe.stderr.strip()[-200:]}" if probe.returncode else None


def _cgroup2() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        place, options = left.split()[4], left.split()[5].split(",")
        if right.split()[0] == "cgroup2" and os.access(place, os.W_OK) and "ro" not in options:
            return Path(place)
    return None


@dataclass(frozen=True)
class Done:
    """A command that ended: exit status and what it wrote."""

    status: int
    out: str
    err: str

    def check(self) -> Self:
        """Itself, if the command ended well."""
        assert self.status == 0, f"exit {self.status}\n{self.out}\n{self.err}"
        return self


@dataclass
class Box:
    """One booted machine; use it in a `with`.

    Attributes:
        folder: Where it may keep its state; a tmpfs is mounted on a folder in it.
        name: Its host name, and the name of its cgroup.
        binds: Directories of this machine to see in it, read-only: (here, there).
        size: Of the tmpfs.
        logins: It has what users' own sessions need: a bus, and somebody who minds them.
    """

    folder: Path
    name: str
    binds: Sequence[tuple[Path, str]] = ()
    size: str = "1500m"
    logins: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    cgroup: Path | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.down()

    @property
    def console(self) -> str:
        """What the box wrote on its console."""
        return (self.folder / "console.log").read_text(errors="replace")

    def up(self, timeout_s: float = 90) -> None:
        """Boot, and wait for systemd's own word that booting is done."""
        (self.folder / "fs").mkdir(parents=True, exist_ok=True)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = self.folder / "notify"
        notify.bind(str(address))
        argv = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", self._script()]
        if Path("/run/systemd/system").is_dir():
            # a host with systemd: ask it for a cgroup of our own
            scope = ["systemd-run", "--scope", "--quiet", "--collect", "-p", "Delegate=yes"]
            argv = [*scope, f"--unit=timmyd-box-{self.name}", "--", *argv]
        else:
            top = _cgroup2()
            assert top is not None
            self.cgroup = top / f"timmyd-box-{self.name}"
            self.cgroup.mkdir(exist_ok=True)
            join = f'echo 0 >{shlex.quote(str(self.cgroup / "cgroup.procs"))}; exec "$@"'
            argv = ["/bin/sh", "-c", join, "sh", *argv]
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {
            "PATH": path,
            "NOTIFY_SOCKET": str(address),
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        }
        with (self.folder / "console.log").open("wb") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )
        try:
            self._wait_ready(notify, time.monotonic() + timeout_s)
        except BaseException:
            self.down()
            raise
        finally:
            notify.close()

    def _wait_ready(self, notify: socket.socket, deadline: float) -> None:
        assert self.process is not None
        while self.process.poll() is None and time.monotonic() < deadline:
            heard = select.select([notify], [], [], 0.05)[0]
            if heard and b"READY=1" in notify.recv(65536).splitlines():
                return
        raise AssertionError(f"the box did not boot:\n{self.console[-3000:]}")

    def _script(self) -> str:
        """Runs in the private mount namespace and ends as the parent of nspawn."""
        base, root = f"{self.folder}/fs", f"{self.folder}/fs/r"
        units = f"{root}/etc/systemd/system"
        nspawn = [
            *("systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "--boot"),
            *(f"--directory={root}", f"--machine={self.name}", "--private-network"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"),
            *("--notify-ready=yes", "--kill-signal=SIGRTMIN+3"),
            # hidden, not removed: to remove a tree from an overlay takes long; /home outlives a reboot
            *(f"--bind={base}/home:/home", "--tmpfs=/root:mode=700"),
            *(f"--bind-ro={here}:{there}" for here, there in self.binds),
            *("systemd.unit=multi-user.target", "systemd.show_status=0"),
            *("systemd.firstboot=off", "systemd.log_level=notice"),
        ]
        return f"""set -e
mount -t tmpfs -o size={self.size},mode=755,nr_inodes=0 box {base}
mkdir -p /run/systemd/nspawn && mount -t tmpfs -o mode=755 box /run/systemd/nspawn
mkdir {base}/u {base}/w {base}/home {root}
mount -t overlay -o lowerdir=/,upperdir={base}/u,workdir={base}/w box {root}
find {root}/dev -mindepth 1 -delete
rm -rf {root}/var/lib/systemd {root}/var/log/journal {root}/etc/machine-id {units} {root}/etc/fstab
rm -rf {root}/.dockerenv {root}/var/lib/private {root}/opt/timmyd {root}/var/lib/timmyd
rm -rf {root}/etc/timmyd {root}/etc/pip.conf
mkdir -p {root}/run {root}/tmp {root}/var/lib/systemd {root}/var/log/journal {units}
: >{root}/etc/machine-id
echo {self.name} >{root}/etc/hostname
rm -f {root}/etc/resolv.conf; : >{root}/etc/resolv.conf
for unit in {" ".join(MASKED if self.logins else MASKED + LOGINS)}; do ln -s /dev/null {units}/$unit; done
(tail --pid={os.getpid()} -f /dev/null; kill -TERM $$) >/dev/null 2>&1 &
set +e
while :; do
  setpriv --pdeathsig KILL {shlex.join(nspawn)} & n=$!
  trap "kill -TERM $n" TERM
  while kill -0 $n 2>/dev/null; do wait $n; rc=$?; done
  [ $rc = {REBOOTED} ] || exit $rc
done"""

    def leader(self) -> int | None:
        """The process here that is PID 1 there; None while it boots, reboots or is down."""
        assert self.process is not None
        below = [self.process.pid]
        while below:
            pid = below.pop()
            try:
                tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            inner = next(li for li in status.splitlines() if li.startswith("NSpid:")).split()[1:]
            if len(inner) > 1 and inner[-1] == "1":
                return pid
            below += [int(task) for task in tasks]
        return None

    def run(
        self, *argv: str, user: str | None = None, text: str | None = None, timeout_s: float = 120
    ) -> Done:
        """Run a command in the box, as root or as `user`; a single string goes to the shell."""
        leader = self.leader()
        assert leader is not None, f"the box is not up\n{self.console[-2000:]}"
        command = list(argv) if len(argv) > 1 else ["sh", "-c", argv[0]]
        home = "/root" if user is None else f"/home/{user}"
        become = (
            'cd "$HOME"; exec setpriv --reuid="$0" --regid="$(id -g "$0")" '
            '--init-groups --inh-caps=-all -- "$@"'
        )
        done = subprocess.run(
            [
                *("nsenter", "-t", str(leader), "-m", "-p", "-u", "-i", "-n", "-C"),
                *("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                *("LANG=C.UTF-8", f"HOME={home}", "SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0"),
                *(["sh", "-c", become, user] if user else []),
                *command,
            ],
            input=text,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=timeout_s,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, as systemd states them."""
        shown = self.run("systemctl", "show", unit, f"--property={','.join(properties)}").check()
        return dict(line.split("=", 1) for line in shown.out.splitlines() if "=" in line)

    def journal(self, *matches: str) -> list[dict[str, object]]:
        """Journal entries, oldest first, with all their fields."""
        shown = self.run("journalctl", "-o", "json", "--all", "--no-pager", *matches).check()
        return [json.loads(line) for line in shown.out.splitlines()]

    def until(self, question: str, *, timeout_s: float = 20, user: str | None = None) -> Done:
        """Run a shell command until it succeeds; the events themselves are what is tested."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self.run(question, user=user)
            if answer.status == 0:
                return answer
            assert time.monotonic() < deadline, f"never true: {question}\n{answer.out}{answer.err}"
            select.select([], [], [], 0.05)

    def reboot(self, timeout_s: float = 60) -> None:
        """Reboot it from within; the disk stays, /run and /tmp do not."""
        before = self.leader()
        self.run("systemctl --no-block reboot 2>/dev/null || systemctl --force reboot")
        deadline = time.monotonic() + timeout_s
        while self.leader() in {None, before}:
            assert time.monotonic() < deadline, f"no reboot:\n{self.console[-2000:]}"
            select.select([], [], [], 0.05)
        state = "systemctl is-system-running | grep -qE 'running|degraded'"
        self.until(f"test -d /run/systemd/system && {state}", timeout_s=timeout_s)

    def down(self, grace_s: float = 10) -> None:
        """Halt it and free everything."""
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        if self.cgroup is not None:
            with suppress(OSError):
                (self.cgroup / "cgroup.kill").write_text("1")
            self._remove_cgroup(time.monotonic() + 5)
            self.cgroup = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_cgroup(self, deadline: float) -> None:
        assert self.cgroup is not None
        while self.cgroup.exists() and time.monotonic() < deadline:
            for below in sorted(self.cgroup.rglob("*/"), key=lambda p: -len(p.parts)):
                with suppress(OSError):
                    below.rmdir()
            with suppress(OSError):
                self.cgroup.rmdir()
            select.select([], [], [], 0.02)
