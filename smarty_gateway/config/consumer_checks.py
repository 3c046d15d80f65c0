"""The checks between the settings of the consumers in gateway.yaml, and between them and the meters.

`consumers` declares the keys, and what may be written for each. No message repeats what stands in a line that
could hold a password.
"""

import difflib
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from smarty_gateway.config.consumers import (
    DomoticzConfig,
    DomoticzDevice,
    FilesConfig,
    ForwardConfig,
    InfluxConfig,
    PtyConfig,
    TcpConfig,
    UdpConfig,
)
from smarty_gateway.config.listen_address import is_any_address, is_this_machine
from smarty_gateway.config.settings import Section
from smarty_gateway.config.value_names import is_value_name, nearest_value_name
from smarty_gateway.config.values import Config, HttpConfig, MeterConfig, Outputs
from smarty_gateway.config.yaml_file import YamlFile, line_of, shown
from smarty_gateway.safe_text import topic_part
from smarty_gateway.sources.address import Address, Kind

#: How many names of meters a message lists.
_LISTED_MAX: Final = 5
#: Characters and digits of a name that a message may repeat.
_SHOWN_MAX: Final = 24
_SHOWN_DIGITS_MAX: Final = 2
_Address = tuple[str, int]


class ConfiguredMeters:
    """The entries of `meters`, for the outputs that name one of them.

    Args:
        entries: also those with a fault.
    """

    def __init__(self, file: YamlFile, entries: Sequence[Section[MeterConfig]]) -> None:
        self._file = file
        self._entries = entries
        names = [entry.values.get("name") or entry.values.get("id") for entry in entries]
        self._topics = {topic_part(name) for name in names if name is not None}
        self._shown = [name for name in names if name is not None and _may_be_shown(name)]

    def check(self, node: yaml.Node, name: str) -> None:
        """Note a name that no entry has; the message does not repeat it."""
        has_faulty_name = any("name" in each.nodes and "name" not in each.values for each in self._entries)
        if topic_part(name) not in self._topics and not has_faulty_name:
            self._file.note(node, f"no entry of `meters:` has this name; {self._advice(name)}")

    def check_single(self, output: Section[Any]) -> None:
        """Note what is wrong with `meter` of an output that serves a single meter."""
        if "meter" in output.values:
            self.check(output.nodes["meter"], output.values["meter"])
        elif "meter" not in output.nodes and not output.is_advised("meter") and len(self._entries) > 1:
            advice = "give them names, and add `meter: NAME`"
            if self._topics:
                advice = "add `meter:` with the `name:` or `id:` of one"
            if self._shown:
                advice = f"add a line such as `meter: {self._shown[0]}`"
            self._file.note(output.node, f"there are several meters, and this serves one of them; {advice}")

    def sources(self) -> list[tuple[int, Address]]:
        """Return all sources with their lines."""
        return [
            (entry.line("source"), source)
            for entry in self._entries
            for source in entry.values.get("source", ())
        ]

    def _advice(self, name: str) -> str:
        if not self._topics:
            return "give the meter a `name:`, and write that here"
        if not self._shown:
            return "write the `name:` or `id:` of one here"
        if near := difflib.get_close_matches(name[:100], self._shown, n=1):
            return f"did you mean {near[0]!r}?"
        more = ", …" if len(self._shown) > _LISTED_MAX else ""
        return f"the names are: {', '.join(self._shown[:_LISTED_MAX])}{more}"


def _may_be_shown(name: str) -> bool:
    """True if a name is neither a key nor a password in the wrong place; nearly all of those have digits."""
    return len(name) <= _SHOWN_MAX and sum(map(str.isdigit, name)) <= _SHOWN_DIGITS_MAX


def check_consumers(file: YamlFile, root: Section[Config]) -> None:
    """Check what the outputs say together, and of the meters."""
    if "outputs" not in root.values:
        return
    section: Section[Outputs] = root.values["outputs"]
    outputs = section.values
    meters = ConfiguredMeters(file, root.values["meters"])
    for output in (*outputs.get("tcp", ()), *outputs.get("pty", ())):
        meters.check_single(output)
    _check_ports(file, meters, outputs.get("tcp", ()), outputs.get("http"))
    _check_links(file, meters, outputs.get("pty", ()))
    for receiver in outputs.get("udp", ()):
        _check_receiver(file, meters, receiver)
    if "influxdb" in outputs:
        check_influxdb(file, outputs["influxdb"])
    if "domoticz" in outputs:
        _check_domoticz(file, meters, outputs["domoticz"], has_broker="mqtt" in section.nodes)
    if "files" in outputs:
        check_folder(file, outputs["files"], root)
    if "forward" in outputs:
        _check_forward(file, outputs["forward"])


# Ports of TCP, and pseudo-terminals


def _check_ports(
    file: YamlFile,
    meters: ConfiguredMeters,
    ports: Iterable[Section[TcpConfig]],
    http: Section[HttpConfig] | HttpConfig | None,
) -> None:
    """Check that no two listen on one port, and that the gateway does not read what it writes there."""
    taken: dict[int, list[tuple[str, str]]] = {}
    if http is not None:
        host, port = _page_address(http)
        taken[port] = [(host, "the page listens")]
    sources = [(line, source) for line, source in meters.sources() if source.port]
    for each in ports:
        if "listen" not in each.values:
            continue
        node, (host, port) = each.nodes["listen"], each.values["listen"].values()
        others = [who for other, who in taken.get(port, ()) if _is_same_host(host, other)]
        if others:
            file.note(node, f"{others[0]} on this port, too; write another port")
        for line, source in sources:
            if source.port == port and _reaches(source.host, host):
                file.note(
                    node,
                    f"line {line} reads this port, so the gateway would read what it writes itself; write "
                    "another port",
                )
        taken.setdefault(port, []).append((host, f"line {line_of(node)} listens"))


def _page_address(http: Section[HttpConfig] | HttpConfig) -> _Address:
    if isinstance(http, HttpConfig):
        return http.host, http.port
    listen = http.values.get("listen") or {"host": HttpConfig().host, "port": HttpConfig().port}
    return listen["host"], listen["port"]


def _is_same_host(one: str, other: str) -> bool:
    """True if nobody can listen on both addresses with one port."""
    if one == other or "::" in (one, other):  # `::` stands for IPv4, too
        return True
    return (":" in one) is (":" in other) and (is_any_address(one) or is_any_address(other))


def _reaches(host: str, listener: str) -> bool:
    """True if a connection to a host ends at a listener of this machine, as far as its name tells."""
    if is_any_address(listener):
        return is_this_machine(host) or host.lower() == socket.gethostname().lower()
    return host == listener or (host == "localhost" and is_this_machine(listener))


def _check_links(file: YamlFile, meters: ConfiguredMeters, ports: Iterable[Section[PtyConfig]]) -> None:
    """Check that each pseudo-terminal has a name of its own, which is not that of a source."""
    sources = {
        _place(source.path): line
        for line, source in meters.sources()
        if source.kind in (Kind.SERIAL, Kind.FILE)
    }
    taken: dict[Path, int] = {}
    for each in ports:
        if "link" not in each.values:
            continue
        link, line = _place(each.values["link"]), each.line("link")
        if link in taken:
            file.note(each.nodes["link"], f"line {taken[link]} has this link, too; write another name")
        if link in sources:
            file.note(
                each.nodes["link"],
                f"line {sources[link]} reads this port, so the gateway would read what it writes itself; "
                "write another name",
            )
        taken.setdefault(link, line)


def _place(path: Path) -> Path:
    """Return a path without symbolic links before its last part."""
    try:
        return path.parent.resolve() / path.name
    except (OSError, RuntimeError):  # a loop of symbolic links
        return path


# Datagrams, databases and files


def _check_receiver(file: YamlFile, meters: ConfiguredMeters, receiver: Section[UdpConfig]) -> None:
    if "meter" in receiver.values:
        meters.check(receiver.nodes["meter"], receiver.values["meter"])
    if "fields" in receiver.nodes and "format" in receiver.nodes:
        file.note(
            receiver.nodes["fields"],
            f"fields take the place of the format in line {receiver.line('format')}; remove one of the two",
        )
    names = receiver.nodes["fields"] if "fields" in receiver.values else None
    for node in names.value if isinstance(names, yaml.SequenceNode) else ():
        if isinstance(node, yaml.ScalarNode) and not is_value_name(node.value):
            near = nearest_value_name(node.value)
            advice = f"did you mean {near!r}?" if near else "docs/reference.md lists them (The JSON object)"
            file.note(node, f"{shown(node.value)} is not a value of a reading; {advice}")


def check_influxdb(file: YamlFile, influx: Section[InfluxConfig]) -> None:
    """Check that the settings are those of one version."""
    nodes = influx.nodes
    if "bucket" in nodes and "database" in nodes:
        file.note(
            nodes["bucket"],
            f"a bucket is of InfluxDB 2 and 3, the database in line {influx.line('database')} of InfluxDB 1; "
            "remove one of the two",
        )
    elif "bucket" in nodes:
        _refuse(file, influx, ("user", "password_file"), "InfluxDB 1, with a `database`")
    elif "database" in nodes:
        _refuse(file, influx, ("org", "token_file"), "InfluxDB 2 and 3, with a `bucket`")
        _check_login(file, influx)
    elif not influx.is_advised("bucket", "database"):
        file.note(
            influx.node,
            "where the readings go is missing; add `database: smarty` (InfluxDB 1) or `bucket: smarty` "
            "(InfluxDB 2 and 3)",
        )


def _check_domoticz(
    file: YamlFile, meters: ConfiguredMeters, domoticz: Section[DomoticzConfig], *, has_broker: bool
) -> None:
    """Check that each device shows one meter, and that there is a way to Domoticz."""
    _check_login(file, domoticz)
    if domoticz.values.get("mqtt") and not has_broker:
        file.note(
            domoticz.nodes["mqtt"],
            "this needs a broker; add `mqtt: {url: mqtt://localhost}` below `outputs:`",
        )
    taken: dict[int, int] = {}
    entries: Sequence[Section[DomoticzDevice]] = domoticz.values.get("devices", ())
    for entry in entries:
        meters.check(entry.nodes["meter"], entry.values["meter"]["meter"])
        if not entry.node.value:
            file.note(
                entry.nodes["meter"],
                "no device is named; add the idx of one from Domoticz, such as `{electricity: 12}`",
            )
        for key in ("electricity", "gas"):
            if (idx := entry.values.get(key)) in taken:
                file.note(
                    entry.nodes[key],
                    f"line {taken[idx]} has this idx, too; each value needs a device of its own",
                )
            elif idx is not None:
                taken[idx] = entry.line(key)


def _check_forward(file: YamlFile, forward: Section[ForwardConfig]) -> None:
    """Check that an edge is the same user at all nodes, and that none of them goes without TLS."""
    nodes = forward.values.get("urls", ())
    if len({(node.tls, node.user) for node in nodes}) > 1:
        file.note(
            forward.nodes["urls"],
            "these are the nodes of one cluster: write the same user, and mqtts://, in all of them",
        )


def _refuse(file: YamlFile, section: Section[Any], keys: Iterable[str], only_with: str) -> None:
    for key in keys:
        if key in section.nodes:
            file.note(section.nodes[key], f"{key} is only for {only_with}; remove this line")


def _check_login(file: YamlFile, server: Section[Any]) -> None:
    for one, other in (("user", "password_file"), ("password_file", "user")):
        if one in server.nodes and other not in server.nodes and not server.is_advised(other):
            file.note(server.nodes[one], f"{one} needs a {other}; add that line")


def check_folder(file: YamlFile, files: Section[FilesConfig], root: Section[Any]) -> None:
    """Check that the files have a folder of their own."""
    if "folder" in files.values and files.values["folder"] == root.values.get("state"):
        file.note(
            files.nodes["folder"],
            f"this is the state folder of line {root.line('state')}; write a folder of its own, such as "
            "`folder: telegrams`",
        )
