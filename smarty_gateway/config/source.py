"""The source of a meter, as a user names it in gateway.yaml or with --source."""

from pathlib import Path
from typing import Final

import yaml

from smarty_gateway.config.settings import Form, read_text
from smarty_gateway.config.yaml_file import YamlFile
from smarty_gateway.sources.address import Address, AddressError, parse_address


def parse_source(text: str, folder: Path | None = None) -> Address:
    """Return the address of a source; no message repeats a password in it.

    Args:
        text: what the user wrote.
        folder: where a relative path counts from; None for the working folder.

    Raises:
        AddressError: it is not a source; the message may repeat the text, but no user and password.
    """
    if "://" in text and "@" in text:
        raise AddressError("write it as tcp://HOST:PORT or rfc2217://HOST:PORT, without user and password")
    return parse_address(text, folder)


def _read_source(file: YamlFile, node: yaml.Node) -> Address:
    text = read_text(file, node, "a source (a port, tcp://host:port, a file or -)")
    try:
        address = parse_source(text, file.folder)
    except AddressError as error:
        # The line is enough to find the source, and the text may contain a key.
        message = str(error)
        for repeated in (text.strip(), repr(text.strip())):
            if message.startswith(repeated):
                message = f"source{message.removeprefix(repeated)}"
        file.fail(node, message)
    return address


def _read_sources(file: YamlFile, node: yaml.Node, _: str) -> tuple[Address, ...]:
    if not isinstance(node, yaml.SequenceNode):
        return (_read_source(file, node),)
    found: dict[object, Address] = {}
    for item in node.value:
        address = _read_source(file, item)
        if not address.is_live:
            file.fail(item, "a list of sources is for ports and bridges; a recording is a source alone")
        if address.identity in found:
            file.fail(item, "this source is in the list twice; keep one of the two")
        found[address.identity] = address
    if not found:
        file.fail(node, "the list is empty; write `source: /dev/ttyUSB0` or a list of bridges")
    return tuple(found.values())


SOURCES: Final[Form[tuple[Address, ...]]] = Form(
    "a port, `tcp://HOST:PORT`, `rfc2217://HOST:PORT`, a file, `-` for standard input; "
    "or a list of bridges to the same meter",
    _read_sources,
)
