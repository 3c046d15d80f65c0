"""The configuration, the keys and the state folder that the options of a command name."""

import argparse
from pathlib import Path

from smarty_gateway.commands.terminal import say
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.config.credentials import credential_or
from smarty_gateway.config.gateway_file import find_config_file, load_config
from smarty_gateway.config.key_file import find_key_file, key_file_problem, load_key_ring
from smarty_gateway.config.values import Config
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.sources.container import is_home_assistant_app
from smarty_gateway.state.sqlite_file import StateError
from smarty_gateway.state.state_file import state_folder
from smarty_gateway.state.store import Store


def chosen_config(args: argparse.Namespace) -> Config | None:
    """Return the configuration that the options or the usual places name; None if there is none.

    Raises:
        UnusableFileError: it cannot be used.
    """
    path: Path | None = args.config or find_config_file()
    return None if path is None else load_config(path)


def chosen_state_folder(args: argparse.Namespace) -> Path:
    """Return the state folder that the gateway uses with the same options."""
    if args.state is not None:
        return state_folder(args.state)
    config = chosen_config(args)
    return state_folder(None if config is None else config.state)


def load_keys(args: argparse.Namespace) -> KeyRing:
    """Return the keys; an empty ring if no key file is named or found in the usual places.

    Raises:
        UnusableFileError: the configuration is needed for this and cannot be used.
        KeyFileError: the key file cannot be used.
    """
    config = None if args.keys is not None else chosen_config(args)
    named = credential_or(config.keys) if config and config.keys else None
    return load_keys_from(args.keys or named)


def load_keys_from(path: Path | None) -> KeyRing:
    """Return the keys in a file; None stands for the usual places.

    Raises:
        KeyFileError: the key file cannot be used.
    """
    path = path or find_key_file()
    if path is None:
        return KeyRing()
    ring = load_key_ring(path)
    problem = key_file_problem(path, ring)
    if problem is not None:
        say(f"warning: {problem}")
    return ring


def refuse_in_app(advice: str) -> None:
    """Raise WrongUsageError in the app of Home Assistant, where a command has no place."""
    if is_home_assistant_app():
        raise WrongUsageError(f"this is the app of Home Assistant: {advice}")


def require_kept(store: Store) -> None:
    """Raise StateError where no change would outlive the process."""
    if not store.is_kept:
        raise StateError("; ".join(store.notices))
