"""Kafka's jars, fetched once with Maven as `deploy/broker/pom.xml` names them, and the Java that runs them.

All data folders share one cache of them.
"""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TextIO

from npsflow.schemas.errors import NpsflowError, SettingsError

OLDEST_JAVA = 17
LOGGING = "log4j2.properties"
INSTALL = """\
  Debian, Ubuntu: sudo apt-get install default-jre-headless maven
  Fedora:         sudo dnf install java-latest-openjdk-headless maven
  macOS:          brew install maven && brew install --cask temurin"""


class BrokerError(NpsflowError, RuntimeError):
    """The broker cannot be fetched or does not run; the text says why and what to do."""


class BrokerMisplaced(BrokerError, SettingsError):
    """Its port or its folder cannot be used."""


def _silent(message: str) -> None:
    """Progress that nobody watches."""


def fetch_kafka(
    progress: Callable[[str], None] = _silent, cache: Path | None = None, version: str | None = None
) -> Path:
    """Return the folder with Kafka's jars, in `cache`, else NPSFLOW_CACHE, else ~/.cache/npsflow.

    `version` of Kafka, if it is to be another than the pom names. Fetches them if they are not there yet, which takes
    up to a minute; `progress` is called for each step and file.
    Raises BrokerError when Java or Maven is missing or too old, or the download fails.
    """
    _java()
    pom, logging = (files("npsflow.deploy.broker").joinpath(name).read_bytes() for name in ("pom.xml", LOGGING))
    named = _kafka_version(pom)
    if version is None:
        version = named
    pom = pom.replace(f">{named}<".encode(), f">{version}<".encode())
    cache = (cache or Path(os.path.expanduser(os.environ.get("NPSFLOW_CACHE") or "~/.cache/npsflow"))).resolve()
    # The digest makes a changed pom fetch anew, beside the jars that other installations still use.
    kafka = cache / f"kafka-{version}-{hashlib.sha256(pom + logging).hexdigest()[:8]}"
    if kafka.exists():
        return kafka
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        if not take(lock):
            progress("waiting for another process that is fetching Kafka")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not kafka.exists():
            new = cache / "unfinished"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            (new / "pom.xml").write_bytes(pom)
            (new / LOGGING).write_bytes(logging)
            progress(f"fetching Kafka {version} with Maven, once")
            _run_maven(new, progress)
            new.rename(kafka)
    return kafka


def _kafka_version(pom: bytes) -> str:
    version = re.search(rb"<kafka\.version>(.+)</kafka\.version>", pom)
    assert version, "the pom names the version of Kafka"
    return version[1].decode()


def _run_maven(folder: Path, progress: Callable[[str], None]) -> None:
    """Fetch what the folder's pom names into its subfolder `lib`."""
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerError(f"fetching Kafka, once, needs Maven: there is no mvn on PATH. Install it:\n{INSTALL}")
    command = [maven, "--batch-mode", "--strict-checksums", f"--file={folder / 'pom.xml'}"]
    command += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'lib'}"]
    output: deque[str] = deque(maxlen=15)
    fetched = 0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                output.append(line)
                if jar := re.search(r"Downloaded .*/(\S+\.jar)", line):
                    fetched += 1
                    progress(f"fetched {fetched}: {jar[1]}")
        except BaseException:  # Ctrl-C: leave nothing behind that still downloads
            process.kill()
            raise
    if process.returncode:
        raise BrokerError(f"Maven could not fetch Kafka (exit status {process.returncode}):\n{''.join(output)}")


def take(lock: TextIO) -> bool:
    """Try to get the lock between processes that this open file stands for; closing the file gives it back."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def java_command(kafka: Path, heap: str, *options: str) -> list[str]:
    """How to run a class of Kafka: small, quick to start, and silent about class data sharing, which is optional."""
    command = [_java(), f"-Xmx{heap}", *options, "-XX:+UseSerialGC", "-Xlog:disable", "-Xlog:all=error:stderr"]
    if (classes := archive(kafka)).exists():
        command.append(f"-XX:SharedArchiveFile={classes}")
    return [*command, f"-Dlog4j2.configurationFile={kafka / LOGGING}", "-cp", f"{kafka / 'lib'}/*"]


def archive(kafka: Path) -> Path:
    """The file in which Java keeps Kafka's classes ready to use; it fits one build of Java only."""
    return kafka / f"classes-{hashlib.sha256(_java_version(_java()).encode()).hexdigest()[:8]}.jsa"


def _java() -> str:
    """The Java to use: that of JAVA_HOME, else the first on PATH."""
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    if java is None:
        why = "there is no java on PATH, and JAVA_HOME is not set"
    elif not (number := re.search(r'version "(?:1\.)?(\d+)', _java_version(java))):
        why = f"{java} does not run" + (", and JAVA_HOME points there" if home else "")
    elif int(number[1]) < OLDEST_JAVA:
        why = f"{java} is version {number[1]}"
    else:
        return java
    raise BrokerError(f"Kafka needs Java {OLDEST_JAVA} or newer: {why}. Install it, and Maven:\n{INSTALL}")


@functools.cache
def _java_version(java: str) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return ""
