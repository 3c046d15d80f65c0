"""Who may ask for what: checked before any page sees a request, and said to the browser with each answer."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from smarty_gateway.config.values import HttpConfig

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

#: In the environment of a request: who asked gave the password, or needed none.
IS_KNOWN: Final = "smarty.is_known"


def guarded(app: WsgiApp, http: HttpConfig, password: bytes | None, *, is_app: bool) -> WsgiApp:
    """Return an application that answers only who may ask.

    Args:
        app: answers the others.
        http: says who may.
        password: None where none is needed.
        is_app: the gateway runs as an app of Home Assistant.
    """
    raise NotImplementedError
