"""Outputs of other packages: found by their entry point, configured like ours, no danger to the rest."""

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smarty_gateway.config.gateway_file import read_config
from smarty_gateway.config.other_outputs import OtherOutput
from smarty_gateway.config.values import Config
from smarty_gateway.outputs import api
from smarty_gateway.outputs.other import made_output
from tests.support.commands import LIMIT, ROOT, SAMPLE, SAMPLE_KEYS, smarty_gateway
from tests.support.running import Running, wait_until

PAGE = (ROOT / "docs/own-output.md").read_text("utf-8")
#: Writes the power of each reading into a file, or does what its settings say.
SUNDIAL = """
import time
from dataclasses import dataclass
from pathlib import Path
from smarty_gateway.outputs.api import *

FAULTS = ("none", "make", "exit", "state", "report", "write", "leave", "stop")

@dataclass(frozen=True)
class Settings:
    file: Path = setting(path("a path"), "where the power goes", example="power.txt")
    fault: str = setting(choice(FAULTS), "a fault", default="none")
    word: str = setting(parsed("a word", lambda text: 1 / (text != "zero") and text), "a word", default="x")

class Sundial(QueuedOutput):
    def __init__(self, settings, config):
        super().__init__("another name", "the sundial")
        self._file, self._fault = settings.file, settings.fault
        if settings.fault == "make":
            raise OSError("no\\nsun")
        if settings.fault == "exit":
            raise SystemExit(0)
    @property
    def state(self):
        if self._fault == "state":
            return "cloudy\\x1b[31m" + "y" * 1000
        return super().state
    def report(self, health, gateway):
        if self._fault == "report":
            raise ValueError("dark")
    def stop(self, seconds):
        if self._fault == "stop":
            time.sleep(1000)
        super().stop(seconds)
    def write(self, reading):
        if self._fault == "write":
            raise ValueError("no light")
        if self._fault == "leave":
            raise SystemExit(0)
        with self._file.open("a") as file:
            file.write(f"{reading.telegram['power_import']}\\n")

KIND = OutputKind(Settings, Sundial)
NOTHING = None
"""
INSTALL = "; install what it needs, or uninstall it"
METERS = f"state: state\nkeys: {SAMPLE_KEYS}\nmeters:\n  - {{name: house, source: {SAMPLE}}}\noutputs:\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder in which Python looks for packages."""
    found = tmp_path / "site"
    found.mkdir()
    monkeypatch.syspath_prepend(found)
    yield found
    for name in [name for name in sys.modules if name.startswith("sundial")]:
        del sys.modules[name]


def install(
    site: Path, name: str = "sundial", text: str = SUNDIAL, entry: str = "", package: str = ""
) -> None:
    """Put a package there as pip would."""
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(text)
    info = site / f"{package or module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or name}\nVersion: 1.0\n")
    entry = entry or f"{name} = {module}:KIND"
    (info / "entry_points.txt").write_text(f"[smarty_gateway.outputs]\n{entry}\n")


def checked(folder: Path, outputs: str) -> tuple[int, list[str]]:
    """Return the exit status and the complaints of `check`."""
    (folder / "gateway.yaml").write_text(f"{METERS}  {outputs}\n")
    done = smarty_gateway("check", folder=folder)
    return done.returncode, done.stderr.decode().splitlines()


def run(folder: Path, outputs: str) -> tuple[int, list[str]]:
    (folder / "gateway.yaml").write_text(f"{METERS}  {outputs}\n")
    done = smarty_gateway("run", folder=folder)
    return done.returncode, done.stderr.decode().splitlines()


def test_an_installed_output_gets_every_reading(site: Path, tmp_path: Path) -> None:
    install(site)
    (tmp_path / "gateway.yaml").write_text(f"{METERS}  stdout: {{}}\n  sundial: {{file: power.txt}}\n")
    assert smarty_gateway("check", folder=tmp_path).stdout.startswith(
        b"gateway.yaml: good, 1 meter, 2 outputs (stdout, sundial)\n"
    )
    status, _ = run(tmp_path, "sundial: {file: power.txt}")
    assert status == 0
    assert (tmp_path / "power.txt").read_text().splitlines()[0] == "1.312"
    assert len((tmp_path / "power.txt").read_text().splitlines()) == 9


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ("sundial: {}", "6: file is missing; add a line such as `file: power.txt`"),
        (
            "sundial: true",
            (
                "6: sundial needs lines of the form `name: value`, such as `file: power.txt`; "
                "the keys here are: file, fault, word"
            ),
        ),
        ("sundial: {file: x, fualt: none}", "6: 'fualt' is not a known key; did you mean 'fault'?"),
        (
            "sundial: {file: x, fault: no}",
            (
                "6: fault is none or make or exit or state or report or write or leave or stop; "
                "did you mean 'none'?"
            ),
        ),
        ("sun-dial: {file: x}", "6: 'sun-dial' is not a known key; did you mean 'sundial'?"),
        ("influxd: {}", "6: 'influxd' is not a known key; did you mean 'influxdb'?"),
        (
            "sundial: {file: x, word: zero}",
            "6: the package sundial 1.0 cannot read its settings: ZeroDivisionError; tell its author",
        ),
    ],
)
def test_its_settings_are_checked_like_ours(site: Path, tmp_path: Path, outputs: str, complaint: str) -> None:
    install(site)
    assert checked(tmp_path, outputs) == (78, [f"gateway.yaml:{complaint}"])
    assert run(tmp_path, outputs) == (78, [f"smarty-gateway: gateway.yaml:{complaint}"])


@pytest.mark.parametrize(
    ("text", "entry", "complaint"),
    [
        (
            "import moonlight",
            "",
            f"cannot be loaded (ModuleNotFoundError: No module named 'moonlight'){INSTALL}",
        ),
        (
            "raise SystemExit(3)",
            "",
            f"cannot be loaded (SystemExit: 3){INSTALL}",
        ),
        (
            "class Dark(BaseException):\n    def __str__(self):\n        raise ValueError\nraise Dark",
            "",
            f"cannot be loaded (Dark){INSTALL}",
        ),
        (SUNDIAL, "sundial = sundial:NOTHING", "has no OutputKind at sundial:NOTHING; tell its author"),
        (
            SUNDIAL,
            "sundial = sundial:ABSENT",
            f"cannot be loaded (AttributeError: module 'sundial' has no attribute 'ABSENT'){INSTALL}",
        ),
        (
            "from smarty_gateway.outputs.api import OutputKind\nKIND = OutputKind(int, int)",
            "",
            "has no OutputKind at sundial:KIND; tell its author",
        ),
    ],
)
def test_a_package_that_cannot_be_used_is_named(
    site: Path, tmp_path: Path, text: str, entry: str, complaint: str
) -> None:
    install(site, text=text, entry=entry)
    line = f"gateway.yaml:6: the package sundial 1.0 {complaint}"
    assert checked(tmp_path, "sundial: {file: x}") == (78, [line])
    assert run(tmp_path, "sundial: {file: x}") == (78, [f"smarty-gateway: {line}"])


def test_two_packages_with_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    install(site)
    install(site, package="sundials")
    status, (line,) = checked(tmp_path, "sundial: {file: x}")
    assert status == 78
    assert (
        "several packages have an output 'sundial': the package sundial 1.0 and the package sundials" in line
    )


@pytest.mark.parametrize("entries", [b"x\xff = a:b", b"boo =="], ids=["bytes", "line"])
def test_a_damaged_package_hinders_no_other(site: Path, tmp_path: Path, entries: bytes) -> None:
    install(site)
    damaged = site / "damaged-1.0.dist-info"
    damaged.mkdir()
    (damaged / "entry_points.txt").write_bytes(b"[smarty_gateway.outputs]\n" + entries)
    assert checked(tmp_path, "sundial: {file: x}") == (0, [])


def test_the_name_of_an_output_of_ours_cannot_be_taken(site: Path, tmp_path: Path) -> None:
    install(site, text="raise SystemExit", entry="files = sundial:KIND")
    assert checked(tmp_path, "files: {folder: telegrams}")[0] == 0


def test_an_output_that_cannot_be_made_is_one_line(site: Path, tmp_path: Path) -> None:
    install(site)
    status, (line,) = run(tmp_path, "sundial: {file: x, fault: make}")
    assert status == 78
    assert line == (
        "smarty-gateway: outputs: sundial: the package sundial 1.0 cannot start it (OSError: no\\nsun); "
        "compare its settings with its documentation"
    )


@pytest.mark.slow
def test_an_output_that_ends_the_program_when_it_is_made_is_one_line(site: Path, tmp_path: Path) -> None:
    install(site)
    status, (line,) = run(tmp_path, "sundial: {file: x, fault: exit}")
    assert (status, "sundial 1.0 cannot start it (SystemExit: 0)" in line) == (78, True)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param("report", "ValueError", marks=pytest.mark.slow),
        ("write", "ValueError"),
        pytest.param("leave", "SystemExit", marks=pytest.mark.slow),
    ],
)
def test_a_crash_ends_the_gateway_with_a_reason(site: Path, tmp_path: Path, fault: str, error: str) -> None:
    install(site)
    status, lines = run(tmp_path, f"sundial: {{file: x, fault: {fault}}}")
    assert status == 1
    assert re.search(rf"the (output )?sundial failed: {error}", lines[-1])


@pytest.mark.slow
def test_an_output_whose_stop_does_not_return_cannot_keep_the_gateway_from_ending(
    site: Path, tmp_path: Path
) -> None:
    install(site)
    assert run(tmp_path, "sundial: {file: x, fault: stop}")[0] == 0


def made_of(folder: Path) -> tuple[Config, OtherOutput]:
    """Return what the output that gateway.yaml names is made of."""
    config, _ = read_config(folder / "gateway.yaml")
    assert config is not None
    return config, config.outputs.others[0]


def test_its_state_is_shown_under_its_name_short_and_printable(site: Path, tmp_path: Path) -> None:
    install(site)
    checked(tmp_path, "sundial: {file: x, fault: state}")
    output = made_output(*made_of(tmp_path))
    assert output.name == "sundial"
    assert len(output.state) == 100
    assert output.state.startswith(r"cloudy\x1b[31my")


def test_its_thread_shows_that_it_lives(site: Path, tmp_path: Path) -> None:
    install(site)
    checked(tmp_path, "sundial: {file: x}")
    output = made_output(*made_of(tmp_path))
    output.start()
    first = output.beat
    assert first is not None
    wait_until(lambda: output.beat != first, "a sign of life")
    output.stop(3)


def test_a_meter_that_no_entry_names_is_refused(site: Path, tmp_path: Path) -> None:
    install(site)
    checked(tmp_path, "sundial: {file: x}")
    config, _ = made_of(tmp_path)
    with pytest.raises(api.SettingError, match="no entry of `meters:` has the name behind `meter:`"):
        api.readings_of(config, "huose")


def test_installed_packages_are_looked_through_only_for_a_name_that_is_none_of_ours(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("importlib.metadata.distributions", refuse)
    assert site.exists()
    assert checked(tmp_path, "stdout: {format: json}") == (0, [])


# The example of docs/own-output.md


def block(language: str) -> str:
    """Return the first code block of a language on the page."""
    (found, *_) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_page_describes_all_that_is_stable() -> None:
    table = PAGE[PAGE.index("## What it is made of") :]
    assert set(api.__all__) <= set(re.findall(r"\w+", table))


@contextmanager
def web_address() -> Iterator[tuple[str, list[object]]]:
    """Yield an address that takes JSON, and what was sent there."""
    got: list[object] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/power", got
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_example_can_be_installed_and_does_what_the_page_says(tmp_path: Path) -> None:
    package, target = tmp_path / "smarty-power-post", tmp_path / "target"
    package.mkdir()
    (package / "pyproject.toml").write_text(block("toml"))
    (package / "smarty_power_post.py").write_text(block("python"))
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
            "--no-index", "--disable-pip-version-check", "--target", target, package,
        ],
        check=True,
        timeout=LIMIT,
    )  # fmt: skip
    with web_address() as (url, got):
        text = block("yaml").replace("http://192.168.1.50/power", url)
        indented = "".join(f"  {line}\n" for line in text.splitlines())
        (tmp_path / "gateway.yaml").write_text(METERS + indented)
        with Running("run", folder=tmp_path, env={"PYTHONPATH": str(target)}) as gateway:
            assert gateway.wait() == 0
    assert got == [{"meter": "house", "watts": 1312}] * 3
