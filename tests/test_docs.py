"""The recipes in docs/ and deploy/ are true of the program."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smarty_gateway import cli
from smarty_gateway.commands.usage import COMMANDS
from smarty_gateway.config.reference import rows
from tests.support.brokers import MOSQUITTO, Broker, Subscriber, needs_mosquitto
from tests.support.commands import LIMIT, ROOT, environment, smarty_gateway

PAGES = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
PAGES["README.md"] = (ROOT / "README.md").read_text("utf-8")
EXAMPLE = (ROOT / "deploy/gateway.example.yaml").read_text("utf-8")
UNIT = (ROOT / "deploy/smarty-gateway.service").read_text("utf-8")
MOSQUITTO_PAGE = PAGES["docs/mosquitto.md"]
METERS = "meters:\n  - {name: house, source: /dev/ttyS0}\n"
#: That there is no TLS is said beside the example that has none.
ALLOWED_WARNING = "go to homeassistant.local unencrypted"


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a language, those in lists without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGES[page], re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def whole_configuration(block: str) -> str | None:
    """Complete what a recipe shows of gateway.yaml; None for a file of another program."""
    if re.search(r"^meters:", block, re.MULTILINE):
        return block
    if block.startswith("outputs:"):
        return METERS + block
    if block.startswith("    "):  # goes below `mqtt:`
        return f"{METERS}outputs:\n  mqtt:\n    url: mqtt://localhost\n{block}"
    return None


CONFIGURATIONS = [
    pytest.param(text, id=f"{page}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"))
    if (text := whole_configuration(block)) is not None
] + [pytest.param(EXAMPLE, id="gateway.example.yaml")]


def check(text: str, folder: Path) -> tuple[int, list[str]]:
    """Check a gateway.yaml whose files all exist; return the exit status and the complaints."""

    def put_there(match: re.Match[str]) -> str:
        file = folder / Path(match[2]).name
        file.touch(0o600)
        file.write_text("one line\n")
        return f"{match[1]}: {file}"

    text = re.sub(r"\b(password_file|token_file|ca_file|cert_file|key_file): ([^\s,}]+)", put_there, text)
    text = re.sub(r"\bkeys: \S+", f"keys: {folder}/keys.yaml", text)
    Path(shutil.copy(ROOT / "keys.example.yaml", folder / "keys.yaml")).chmod(0o600)
    (folder / "gateway.yaml").write_text(text, "utf-8")
    done = smarty_gateway("check", folder=folder)
    # The ports are invented.
    complaints = done.stderr.decode().splitlines()
    return done.returncode, [line for line in complaints if " is not there; " not in line]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_each_configuration_that_is_shown_is_a_good_one(text: str, tmp_path: Path) -> None:
    status, complaints = check(text, tmp_path)
    assert [line for line in complaints if ALLOWED_WARNING not in line] == []
    assert status == 0


def test_the_recipes_show_as_many_configurations_as_are_checked() -> None:
    assert len(CONFIGURATIONS) >= 10


def test_every_setting_that_is_switched_off_in_the_example_can_be_switched_on(tmp_path: Path) -> None:
    setting = re.compile(r"^( *)# ((?:- |  )?[a-z_]+:(?: .*)?)$", re.MULTILINE)
    switched_on = setting.sub(r"\1\2", EXAMPLE.replace("mqtt://localhost", "mqtts://gateway@localhost"))
    assert switched_on.count("#") < EXAMPLE.count("#") - 15
    (tmp_path / "monday.capture").touch()
    state = f"state: {tmp_path}/state"
    assert check(switched_on.replace("state: /var/lib/smarty-gateway", state), tmp_path) == (0, [])


def test_the_example_explains_every_setting() -> None:
    names = {row.path.rpartition(".")[2] for row in rows()}
    assert {name for name in names if not re.search(rf"\b{name}:[ \n]", EXAMPLE)} == set()


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^):]+)\)", PAGES[page]):
        name, _, place = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if place:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert place in map(anchor, headings), link


def test_the_list_of_pages_names_each_once() -> None:
    listed = re.findall(r"^\| \[(.+?)\]\(\1\) \|", PAGES["docs/README.md"], re.MULTILINE)
    assert sorted(["README.md", *listed]) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_every_recipe_says_at_its_top_what_was_tried() -> None:
    recipes = (
        "domoticz", "home-assistant", "install", "mosquitto", "node-red", "openhab", "systemd", "telegraf",
    )  # fmt: skip
    for name in recipes:
        assert re.match(r"# .+\n\n> (Tried|Untried)", PAGES[f"docs/{name}.md"]), name


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the arguments of `smarty-gateway` in lines of a shell."""
    for part in re.split(r"&&|\|\||[|;\n]", text.replace("\\\n", " ")):
        words = shlex.split(part, comments=True) if "smarty-gateway" in part else []
        words = words[1:] if words[:1] == ["sudo"] else words
        if words and words[0].rpartition("/")[2] == "smarty-gateway":
            end = next((i for i, word in enumerate(words) if re.match(r"[<>]", word)), None)
            yield words[1:end]


def commands_of(page: str) -> Iterator[list[str]]:
    for block in blocks(page, "sh"):
        yield from commands_in(block)
    prose = re.sub(r"^ *```.*?^ *```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`([^`]*smarty-gateway [^`]*)`", prose):
        # `[--format text|json]` stands for an option with two values.
        for words in commands_in(re.sub(r"[\[\]]|(?<=\w)\|\w+", "", span.replace("\n", " "))):
            # A name alone is no command to type, but what the sentence is about.
            yield [*words, "--help"] if is_name(words) else words


def is_name(words: list[str]) -> bool:
    """True for the name of a command or of a subcommand."""
    usage = COMMANDS.get(words[0])
    return usage is not None and len(words) <= 1 + (usage.default is not None)


TYPED = [
    pytest.param(words, id=f"{page}: {' '.join(words)}") for page in PAGES for words in commands_of(page)
]


@pytest.mark.parametrize("words", TYPED)
def test_every_command_that_is_shown_has_the_options_it_is_shown_with(words: list[str]) -> None:
    try:
        cli._parsed(words)
    except SystemExit as end:
        assert end.code == 0  # noqa: PT017 - `--help` and `--version` end like this


def test_the_recipes_show_as_many_commands_as_are_parsed() -> None:
    assert len(TYPED) >= 30


def test_the_unit_starts_the_gateway_with_options_that_it_has() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    (words,) = commands_in(line)
    assert str(cli._parsed(words).config) == "/etc/smarty-gateway/gateway.yaml"


def test_the_unit_keeps_no_serial_port_away() -> None:
    # ProtectClock= implies DeviceAllow=, and one DeviceAllow= shuts out every other device.
    assert not re.search(r"^(PrivateDevices|ProtectClock|DeviceAllow|DevicePolicy)=", UNIT, re.MULTILINE)
    assert "SupplementaryGroups=dialout" in UNIT


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not on this machine")
    unit = tmp_path / "smarty-gateway.service"
    program = shutil.which("smarty-gateway", path=environment()["PATH"])
    unit.write_text(UNIT.replace("/opt/smarty-gateway/bin/smarty-gateway", str(program)), "utf-8")
    done = subprocess.run(
        [analyze, "verify", str(unit)], capture_output=True, check=False, timeout=LIMIT, text=True
    )
    about_it = [line for line in done.stderr.splitlines() if "smarty-gateway" in line]
    assert (done.returncode, about_it) == (0, [])


class RecipeBroker(Broker):
    """Mosquitto as docs/mosquitto.md sets it up, in a folder in place of /etc/mosquitto."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        etc = folder / "etc"
        (etc / "certs").mkdir(parents=True)
        (etc / "conf.d").mkdir()
        steps = [block for block in blocks("docs/mosquitto.md", "sh") if "apt-get" not in block][:4]
        script = "\n".join(steps)
        for line in ("sudo systemctl restart mosquitto", "sudo tail -n 5 /var/log/mosquitto/mosquitto.log"):
            assert line in script
            script = script.replace(line, "")
        script = script.replace("sudo ", "").replace("-o mosquitto -g mosquitto ", "")
        script = script.replace("/etc/mosquitto", str(etc)).replace("8883", str(self.port))
        done = subprocess.run(
            f"set -e\n{script}",
            shell=True, executable="/bin/bash", cwd=folder, capture_output=True, check=False, timeout=LIMIT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = ["log_dest stderr", "log_type all", *["user root"] * (os.geteuid() == 0)]
        (etc / "mosquitto.conf").write_text("\n".join([*lines, f"include_dir {etc}/conf.d", ""]), "ascii")
        self._command = [str(MOSQUITTO), "-c", str(etc / "mosquitto.conf")]


@needs_mosquitto
def test_the_broker_of_the_recipe_takes_readings_from_the_gateway_and_gives_them_to_the_reader(
    tmp_path: Path,
) -> None:
    (shown,) = [block for block in blocks("docs/mosquitto.md", "yaml") if block.startswith("outputs:")]
    with RecipeBroker(tmp_path) as broker:
        source = ROOT / "vectors/sample.bin"
        (tmp_path / "gateway.yaml").write_text(
            f"meters:\n  - {{name: house, source: {source}}}\n" + shown.replace("8883", str(broker.port)),
            "utf-8",
        )
        Path(shutil.copy(ROOT / "vectors/sample.keys.yaml", tmp_path / "keys.yaml")).chmod(0o600)
        password = (tmp_path / "reader.password").read_text("ascii").strip()
        reader = Subscriber(broker, user="reader", password=password, ca_file=tmp_path / "ca/ca.crt")
        with reader:
            smarty_gateway("run", "--state", tmp_path / "state", folder=tmp_path)
            reader.wait_for("smarty/house/state")
            reader.wait_for("homeassistant/device/smarty_SAG1030700012345/config")
            reader.publish("smarty/house/state", b"forged")
            reader.publish("homeassistant/status", b"online")
            reader.wait_for_payload("homeassistant/status", b"online")
            assert b"forged" not in [message.payload for message in reader.of("smarty/house/state")]


@needs_mosquitto
def test_the_broker_of_the_recipe_lets_nobody_in_without_a_password(tmp_path: Path) -> None:
    with RecipeBroker(tmp_path) as broker:
        stranger = Subscriber(broker, ca_file=tmp_path / "ca/ca.crt")
        stranger._client.loop_start()
        try:
            assert not stranger._is_subscribed.wait(2)
        finally:
            stranger._client.disconnect()
            stranger._client.loop_stop()
        assert "not authorised" in broker.log()
