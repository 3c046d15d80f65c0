"""What the routes ask: the gateway at this moment, and its history, opened for one request."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.site import View
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.state.history_access import opened_history
from smarty_gateway.web.live import Live

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class SiteState:
    """What all routes share.

    Attributes:
        folder: of the history; None without one.
    """

    config: Config
    folder: Path | None
    live: Live
    names: PublicNames

    @contextmanager
    def view(self, language: Language, root: str) -> Iterator[View]:
        """Open what a page shows; a history that cannot be read is as if there were none."""
        now, gateway = int(time.time()), self.live.now()
        with ExitStack() as stack:
            history = None
            if self.folder is not None:
                with suppress(GatewayError):
                    history = stack.enter_context(opened_history(self.folder, self.config, now))
            yield View(language, root, gateway, self.names, history, now, zone_of(self.config))

    def shown(self, language: Language, root: str, page: Callable[[View], Made]) -> Made:
        """Return a page; damage that is found while the history is read is as if there were none."""
        try:
            with self.view(language, root) as view:
                return page(view)
        except GatewayError:
            with replace(self, folder=None).view(language, root) as view:
                return page(view)
