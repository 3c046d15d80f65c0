"""`forget`: removes what is stored of a meter, and its retained messages from the broker."""

import argparse
import shlex
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from smarty_gateway.commands.chosen import chosen_config, refuse_in_app, require_kept
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.config.gateway_file import config_from_options
from smarty_gateway.config.values import TAKEN_NAMES, Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.logs import start_log
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable, topic_part
from smarty_gateway.state.history_file import HistoryFile, history_errors, meters_in
from smarty_gateway.state.history_schema import FILE_NAME
from smarty_gateway.state.sqlite_file import StateError
from smarty_gateway.state.state_file import FolderLock, state_folder
from smarty_gateway.state.store import Store

_WITHIN: Final = 15.0


class NothingStoredError(GatewayError):
    """Nothing is stored of a meter with this name."""


class BrokerNeededError(GatewayError):
    """The broker holds messages of the meter and cannot be reached."""


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "forget",
        help="remove a meter's stored state and its retained messages",
        description="Removes a meter's identities and waiting telegrams from the state folder and its "
        "retained messages from the broker, so that it disappears from Home Assistant and another meter can "
        "have its name. Its frame counters stay, or its old frames could be replayed, and so does its "
        "history. Stop the gateway first: it would publish the meter again.",
    )
    parser.add_argument("meter", type=_name, help="its name, as in its topics")
    parser.add_argument(
        "--history", action="store_true", help="remove its quarter hours too; only a backup brings them back"
    )
    add_shared(parser, "--config", "--state", "--mqtt", "--mqtt-password-file")


def _name(argument: str) -> str:
    """Return an argument as valid Unicode; no stored name holds the bytes that are not."""
    return argument.encode("utf-8", "backslashreplace").decode()


def execute(args: argparse.Namespace) -> ExitStatus:
    """Forget one meter.

    Raises:
        NothingStoredError: nothing is stored of it.
        BrokerNeededError: the broker holds messages of it and cannot be reached.
    """
    start_log()
    config = _config(args)
    folder = state_folder(args.state or (config.state if config else None))
    with closing(_lock(folder)), Store(folder) as store:
        require_kept(store)
        published = store.published()
        topics = [topic for topic, meter in published.items() if meter == args.meter not in TAKEN_NAMES]
        if topics:
            _take_back(config, topics)
            store.note_emptied(topics)
        names = {row.meter for row in store.all_counters()}
        names |= {*store.holders(), *(meter.name for meter in store.unnamed())}
        waiting = sum(
            store.forget_meter(args.meter, beginning)
            for beginning in _beginnings(args.meter, config, published)
        )
        is_shared = _is_spelled_otherwise(args.meter, names.union(published.values()))
        stored = args.meter if is_shared else topic_part(args.meter)
        removed = _forget_history(folder, stored) if args.history else 0
        with_history = meters_in(folder)
    if not topics and not waiting and not removed and args.meter not in names:
        if stored in with_history:
            raise NothingStoredError(
                f"only a history is stored of a meter named {args.meter}; to remove it, add --history"
            )
        # Nobody owns what will be emptied, and a taken name what the gateway says of itself.
        known = names | with_history | set(published.values()) - {"", *TAKEN_NAMES}
        others = f"; known are: {', '.join(map(repr, sorted(known)))}" if known else ""
        raise NothingStoredError(f"nothing is stored of a meter named {args.meter}{others}")
    print(
        f"{printable(args.meter)} is forgotten; {len(topics)} retained messages were removed from the "
        f"broker, and {waiting} waiting telegrams from the state folder"
    )
    if removed:
        print(f"{removed} quarter hours were removed from its history")
    elif stored in with_history:
        option = shlex.quote(printable(args.meter))
        print(f"its history stays; to remove it: smarty-gateway forget {option} --history")
    return ExitStatus.GOOD


def _lock(folder: Path) -> FolderLock:
    try:
        return FolderLock(folder)
    except StateError:
        refuse_in_app(
            "its gateway cannot be stopped alone; remove the meter in its Configuration tab, or change the "
            "name there, and restart the app: it removes what it has published under the name"
        )
        raise


def _forget_history(folder: Path, meter: str) -> int:
    if not (folder / FILE_NAME).exists():
        return 0
    with closing(HistoryFile(folder, repairs=False)) as history, history_errors(history.path):
        return history.forget(meter)


def _is_spelled_otherwise(name: str, owners: Iterable[str]) -> bool:
    """True if another meter has the same topics and the same history: its name differs in spelling only."""
    return any(owner != name and topic_part(owner) == topic_part(name) for owner in owners)


def _beginnings(name: str, config: Config | None, published: dict[str, str]) -> list[str]:
    """Return what the topics of a meter begin with, or may have begun with."""
    own = f"/{topic_part(name)}/"
    if _is_spelled_otherwise(name, published.values()):
        return [f"\0{name}"]  # no topic begins so: these belong to a meter whose name differs in spelling
    roots = {"smarty" if config is None or config.outputs.mqtt is None else config.outputs.mqtt.topic}
    roots |= {
        topic.removesuffix(f"{own}availability")
        for topic, owner in published.items()
        if owner == name and topic.endswith(f"{own}availability")
    }
    return [f"{root}{own}" for root in sorted(roots)]


def _config(args: argparse.Namespace) -> Config | None:
    if args.mqtt is not None:
        return config_from_options("-", mqtt=args.mqtt, password_file=args.mqtt_password_file)
    return chosen_config(args)


def _take_back(config: Config | None, topics: list[str]) -> None:
    """Empty retained topics, and wait until the broker has taken note."""
    mqtt = None if config is None else config.outputs.mqtt
    if mqtt is None:
        raise BrokerNeededError(
            "the broker still holds messages of this meter: name it with --config, or with --mqtt mqtt://HOST"
        )
    # Only a gateway with a broker needs paho.
    from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed  # noqa: PLC0415
    from smarty_gateway.outputs.mqtt.connection import Connection, default_client_id  # noqa: PLC0415

    try:
        connection = Connection(mqtt, None, lambda *_: None, f"{default_client_id(mqtt)}-forget")
        try:
            until = time.monotonic() + _WITHIN
            left = list(topics)
            while (left or connection.in_flight or not connection.is_ready) and time.monotonic() < until:
                if left and connection.is_ready and connection.in_flight < connection.window:
                    connection.publish(left.pop(), b"", retain=True)
                else:
                    connection.wait(1)
            if left or connection.in_flight or not connection.is_ready:
                raise ConnectionFailed("the broker does not answer")
        finally:
            connection.close(politely=True)
    except ConnectionFailed as failed:
        raise BrokerNeededError(f"{failed}; nothing was forgotten") from None
