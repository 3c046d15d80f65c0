"""Removes each check from a copy of the gateway, and looks whether `verify` notices.

A reference is worth as much as what it catches: `python -m tests.removed_checks` prints the table.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import LIMIT, ROOT


@dataclass(frozen=True)
class RemovedCheck:
    """A check, and the change of one file that removes it."""

    name: str
    file: str
    old: str
    new: str


REMOVED_CHECKS = (
    RemovedCheck("GCM tag", "decryption.py", "    if not bytes_eq(whole_tag[:TAG_SIZE], tag):\n        return None\n", ""),
    RemovedCheck("AAD: authentication key", "decryption.py", "bytes([frame.security]) + key.authentication_key.reveal(),", "bytes([frame.security]) + bytes(16),"),
    RemovedCheck("AAD: none at all", "decryption.py", "    cipher = _cipher(key)\n", "    cipher, aad = _cipher(key), b''\n"),
    RemovedCheck("AAD: security byte", "decryption.py", "bytes([frame.security]) + key", "b'\\x31' + key"),
    RemovedCheck("security byte", "judge.py", "if frame.security != AUTHENTICATED_AND_ENCRYPTED:", "if False:"),
    RemovedCheck("upper bound of the length", "frame.py", "if not MIN_LENGTH <= length <= MAX_LENGTH:", "if not MIN_LENGTH <= length:"),
    RemovedCheck("lower bound of the length", "frame.py", "if not MIN_LENGTH <= length <= MAX_LENGTH:", "if not length <= MAX_LENGTH:"),
    RemovedCheck("form of the length", "frame.py", "if form >= 0x80 and form not in _LENGTH_BYTES:", "if False:"),
    RemovedCheck("length of the title", "frame.py", "if len(head) > 1 and head[1] != _TITLE_SIZE:", "if False:"),
    RemovedCheck("frame counter", "counters.py", "return last is not None and counter <= last", "return False"),
    RemovedCheck("frame counter: equal ones", "counters.py", "return last is not None and counter <= last", "return last is not None and counter < last"),
    RemovedCheck("frame counter: per key", "counters.py", "last = self.last.get((system_title, fingerprint))\n        return", "last = max((c for (t, _), c in self.last.items() if t == system_title), default=None)\n        return"),
    RemovedCheck("counter moves back", "identities.py", "            if self.counters.is_replay(frame.system_title, fingerprint, frame.frame_counter):\n", "            if self.counters.is_replay(frame.system_title, fingerprint, frame.frame_counter):\n                self.counters.last[frame.system_title, fingerprint] = frame.frame_counter\n"),
    RemovedCheck("CRC of a decrypted telegram", "judge.py", "if telegram.checksum is not Checksum.RIGHT:", "if False:"),
    RemovedCheck("CRC of a decrypted telegram: missing", "judge.py", "if telegram.checksum is not Checksum.RIGHT:", "if telegram.checksum is Checksum.WRONG:"),
    RemovedCheck("CRC of a plaintext telegram", "judge.py", "if telegram is None or candidate.checksum is Checksum.WRONG:", "if telegram is None:"),
    RemovedCheck("CRC of a plaintext telegram: missing", "judge.py", "if crc_is_due(candidate.text):", "if False:"),
    RemovedCheck("CRC that tells a wrong authentication key", "decryption.py", "telegram is not None and telegram.checksum is Checksum.RIGHT", "telegram is not None"),
    RemovedCheck("plaintext of an encrypted meter", "judge.py", "if why is not None:", "if False:"),
    RemovedCheck("telegram inside the frame", "telegram.py", '    if text[:1] != b"/":\n        return None\n', ""),
    RemovedCheck("key by system title", "key_ring.py", "return self._by_title.get(system_title, self._others)", "return next(iter(self._by_title.values()), self._others)"),
    RemovedCheck("order: plaintext before CRC", "judge.py", "if telegram is None or candidate.checksum is Checksum.WRONG:", "if telegram is not None and self.identities.title_behind(identities_of(self._decoder.decode(telegram)), self.keys) is not None:\n            return self._refuse(candidate, Reason.PLAINTEXT, '', verified=True)\n        if telegram is None or candidate.checksum is Checksum.WRONG:"),
    RemovedCheck("order: CRC before counter", "judge.py", "if admission is Admission.REPLAY:", "if admission is Admission.REPLAY and telegram.checksum is Checksum.RIGHT:"),
    RemovedCheck("order: key before security byte", "judge.py", "if frame.security != AUTHENTICATED_AND_ENCRYPTED:", "if frame.security != AUTHENTICATED_AND_ENCRYPTED and self.keys.keys_for(frame.system_title):"),
    RemovedCheck("search inside false frames", "extractor.py", "            self._false.append((candidate, verdict))\n        return self._skip()", "            self._false.append((candidate, verdict))\n        self._at, self._is_due = candidate.end, False\n        return True"),
)  # fmt: skip


def failed_cases(check: RemovedCheck, folder: Path) -> int:
    """Count the cases that fail in a copy of the gateway without this check."""
    copy = folder / "smarty_gateway"
    shutil.copytree(ROOT / "smarty_gateway", copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "vectors", folder / "vectors", ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "protocol" / check.file
    text = path.read_text("utf-8")
    if text.count(check.old) != 1:
        raise ValueError(
            f"{check.name}: {check.old!r} stands {text.count(check.old)} times in protocol/{check.file}, not once; "
            "where the check is written otherwise now, adapt REMOVED_CHECKS in tests/removed_checks.py"
        )
    path.write_text(text.replace(check.old, check.new), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "smarty_gateway", "verify", "--format", "json"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    if not done.stdout:
        raise ValueError(f"{check.name}: {done.stderr.decode()[-500:]}")
    failed: int = json.loads(done.stdout)["failed"]
    return failed


def main() -> None:
    """Print a table of all checks."""
    for check in REMOVED_CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {check.name:40} | {failed_cases(check, Path(folder)):4} |", flush=True)


if __name__ == "__main__":
    main()
