"""Reads encrypted Luxembourg and plaintext Belgian smart meters and publishes verified readings.

The names in `__all__` are the public API (docs/python.md). Anything else may change.
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers know it; to import `typing` takes longer than all else here
if TYPE_CHECKING:
    from smarty_gateway.config.key_file import KeyFileError
    from smarty_gateway.library import InputError, load_keys, read
    from smarty_gateway.protocol.errors import GatewayError, KeyFormatError
    from smarty_gateway.protocol.key_ring import KeyRing
    from smarty_gateway.protocol.meter import MeterStream
    from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
    from smarty_gateway.protocol.rejection import Rejection

__version__ = "0.1.0"
__all__ = [
    "GatewayError",
    "InputError",
    "KeyFileError",
    "KeyFormatError",
    "KeyRing",
    "MeterStream",
    "MeterTelegram",
    "Rejection",
    "Security",
    "load_keys",
    "read",
]

_MODULES = {
    "GatewayError": "protocol.errors",
    "InputError": "library",
    "KeyFileError": "config.key_file",
    "KeyFormatError": "protocol.errors",
    "KeyRing": "protocol.key_ring",
    "MeterStream": "protocol.meter",
    "MeterTelegram": "protocol.meter_telegram",
    "Rejection": "protocol.rejection",
    "Security": "protocol.meter_telegram",
    "load_keys": "library",
    "read": "library",
}

if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> object:
        # The command line must install signal handlers before it loads anything heavy (see `__main__`).
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

    def __dir__() -> list[str]:
        return [*__all__, "__version__"]
