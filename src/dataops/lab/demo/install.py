"""Acts 1 and 2: the machine, and the locked packages in .venv. Runs on a bare Python 3.11+, standard library only.

Called again, it compares the lock's hash with the one it left in .venv and has nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dataops.lab.demo.screen import Screen, Watch

PROJECT = Path(__file__).resolve().parents[4]
VENV = PROJECT / ".venv"
STAMP = VENV / "dataops-lock.sha256"
LOCK = PROJECT / "requirements.txt"
UV = "uv==0.13.9"  # only installs faster: what is installed is the lock's
NEEDED_GIB = 2.6  # .venv with byte code, and the downloads while they are unpacked
SUPPORTED = ((3, 11), (3, 14))


class InstallError(RuntimeError):
    """The environment could not be made; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """`--quiet`: only makes sure that .venv is there. Otherwise goes on with the demo inside .venv."""
    quiet = "--quiet" in (sys.argv[1:] if arguments is None else arguments)
    screen, watch = Screen(), Watch()
    try:
        if not quiet:
            _first_act(screen)
        _second_act(screen, quiet=quiet)
    except InstallError as error:
        screen.note(str(error))
        return 3
    if quiet:
        return 0
    command = [str(_python()), "-m", "dataops.lab.demo", f"--started={watch.took:.3f}"]
    return subprocess.run(command, cwd=PROJECT, check=False).returncode  # noqa: S603


def _first_act(screen: Screen) -> None:
    watch = Watch()
    screen.line("AdventureWorks DataOps demo: 6 steps, about 5 minutes the first time.")
    screen.line("Everything is written below ./var and ./data_docs; `make demo-clean` removes it.")
    screen.line()
    version = ".".join(str(part) for part in sys.version_info[:3])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    screen.timed(f"[1/6] Python {version}, {cores} cores, {_free_gib():.0f} GiB free", watch.took, indent="")
    if not SUPPORTED[0] <= sys.version_info[:2] < SUPPORTED[1]:
        raise InstallError(f"This needs Python 3.11, 3.12 or 3.13, not {version}. Run: make demo PYTHON=python3.12")


def _second_act(screen: Screen, *, quiet: bool) -> None:
    watch = Watch()
    count = len(re.findall(r"^[A-Za-z0-9_.-]+==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    if _is_installed():
        if not quiet:
            screen.timed(f"[2/6] {count} locked packages in .venv: already installed", watch.took, indent="")
        return
    title = f"[2/6] Installing {count} locked packages into .venv"
    screen.meanwhile(title)
    log = _home() / "log" / "demo-install.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        _install(log)
    except (OSError, subprocess.CalledProcessError) as error:
        screen.line(title)
        raise InstallError(_failure(error, log, watch.took)) from error
    screen.timed(f"{title} {'.' * (66 - len(title))}", watch.took, indent="")


def _install(log: Path) -> None:
    """By uv where it can be had, else by pip: same lock, same result."""
    with log.open("w", encoding="utf-8") as out:

        def run(*command: str) -> None:
            out.write(f"$ {' '.join(command)}\n")
            out.flush()
            subprocess.run(command, cwd=PROJECT, stdout=out, stderr=out, check=True)  # noqa: S603

        python = str(_python())
        run(sys.executable, "-m", "venv", str(VENV))
        try:
            run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
            uv = (python, "-m", "uv", "pip", "install", "--python", python)
            run(*uv, "--compile-bytecode", "-r", str(LOCK))
            run(*uv, "--no-deps", "--editable", ".")
        except subprocess.CalledProcessError:
            _room_or_raise()
            out.write("uv did not work here; installing with pip\n")
            pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            run(*pip, "-r", str(LOCK))
            run(*pip, "--no-deps", "--editable", ".")
    STAMP.write_text(_lock_hash(), encoding="utf-8")


def _room_or_raise() -> None:
    if _free_gib() < 0.1:  # noqa: PLR2004  a second attempt would fill what is left
        raise OSError(28, "No space left on device")


def _failure(error: Exception, log: Path, took: float) -> str:
    reason = error.strerror if isinstance(error, OSError) else _last_words(log)
    return (
        f"FAILED after {took:.0f} s: {reason} (needs {NEEDED_GIB} GiB, {_free_gib():.1f} GiB free)\n"
        "Nothing was started. Correct this, or free some space, then: make demo\n"
        f"Log: {os.path.relpath(log, PROJECT)}"
    )


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "No space left" in line]
    return (errors or lines or ["no reason given"])[-1][:200]


def _is_installed() -> bool:
    return _python().exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == _lock_hash()


def _lock_hash() -> str:
    """Of everything that decides what is installed."""
    content = LOCK.read_bytes() + (PROJECT / "pyproject.toml").read_bytes() + sys.version.encode()
    return hashlib.sha256(content).hexdigest()


def _python() -> Path:
    return VENV / "bin" / "python"


def _home() -> Path:
    return Path(os.environ.get("DATAOPS_HOME") or PROJECT / "var")


def _free_gib() -> float:
    return shutil.disk_usage(PROJECT).free / 2**30


if __name__ == "__main__":
    sys.exit(main())
