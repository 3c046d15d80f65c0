"""docs/reference.md is true of the program: commands, options, names, reasons, exit statuses."""

import argparse
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

import smarty_gateway
from smarty_gateway.commands.usage import COMMANDS
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.protocol.rejection import Hint, Reason
from tests.docs import entities_table
from tests.docs.names_table import PAGE, names_table, written_table

TEXT = PAGE.read_text("utf-8")


def section(heading: str, level: int = 2) -> str:
    """Return the text from a heading to the next of its level or above."""
    marks = "#" * level
    (found,) = re.findall(
        rf"^{marks} {heading}\n(.*?)(?=^#{{1,{level}}} |\Z)", TEXT, re.DOTALL | re.MULTILINE
    )
    return str(found)


def parser_of(command: str) -> argparse.ArgumentParser:
    commands = argparse.ArgumentParser().add_subparsers()
    import_module(f"smarty_gateway.commands.{command.replace('-', '_')}").add_parser(commands)
    parser = commands.choices[command]
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def options_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a command and its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subcommand in action.choices.values():
                yield from options_of(subcommand)
        elif action.dest != "help":
            yield from action.option_strings


def test_every_command_has_a_section_and_no_other() -> None:
    assert set(re.findall(r"^### ([a-z-]+)", section("Commands"), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_described_with_the_options_it_has(command: str) -> None:
    actions = [action for action in parser_of(command)._actions if action.dest != "help"]
    options = set(options_of(parser_of(command)))
    text = section(rf"{command}[^\n]*", 3)
    assert set(re.findall(r"(?<=`)--?[a-z][a-z-]*", text)) == options
    arguments = [action for action in actions if not action.option_strings]
    heading = re.findall(rf"^### {command} ?(.*)$", TEXT, re.MULTILINE)[0]
    assert len(re.findall(r"[A-Z]+", heading)) == len(arguments)


def test_the_table_of_names_is_that_of_the_decoder() -> None:
    assert written_table() == names_table(), "type: python -m tests.docs.names_table"


def test_the_tables_of_entities_are_those_that_are_announced() -> None:
    made = entities_table.entities_table()
    assert entities_table.written_table() == made, "type: python -m tests.docs.entities_table"


def test_every_reason_and_hint_is_explained_in_the_order_of_the_checks() -> None:
    text = section("What is accepted, what is rejected, what is noise")
    assert re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE) == [reason.value for reason in Reason]
    assert {hint for hint in Hint if f"`{hint}`" not in text} == set()


def test_every_exit_status_is_explained() -> None:
    explained = {
        int(status) for status in re.findall(r"^\| ([0-9]+) \|", section("Exit status"), re.MULTILINE)
    }
    assert explained == {status.value for status in ExitStatus}


def test_every_public_python_name_is_explained() -> None:
    text = section("Python")
    assert {name for name in smarty_gateway.__all__ if not re.search(rf"`{name}\b", text)} == set()


def test_the_fields_of_health_are_those_that_are_sent() -> None:
    (row,) = re.findall(r"^\| `smarty/METER/health` \| (.*?);", section("MQTT"), re.MULTILINE)
    assert re.findall(r"`([a-z_]+)`", row) == list(Health().as_object())
    (row,) = re.findall(r"^\| `smarty/health` \| (.*?);", section("MQTT"), re.MULTILINE)
    # The health of single sources is for the page.
    assert GatewayHealth.__dataclass_fields__.keys() - {"unheard"} < set(re.findall(r"`([a-z_]+)`", row))
