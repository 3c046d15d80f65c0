"""What the routes ask: the gateway at this moment, and its history, opened for one request."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.site import NoHistory, View
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.state.history_access import NoHistoryError, opened_history
from smarty_gateway.state.sqlite_file import StateBusyError
from smarty_gateway.web.live import Live

#: Seconds to wait for a history that another program has locked: the server has few threads, and the values
#: of the present must go on.
_PATIENCE: Final = 0.2
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
    def view(self, language: Language, root: str, why_none: NoHistory | None = None) -> Iterator[View]:
        """Open what a page shows.

        Args:
            language: of the reader.
            root: leads from the page to the first one.
            why_none: why the history is not to be opened.
        """
        now, gateway, history = int(time.time()), self.live.now(), None
        with ExitStack() as stack:
            if self.folder is None:
                why_none = NoHistory.OFF
            elif why_none is None:
                try:
                    history = stack.enter_context(opened_history(self.folder, self.config, now, _PATIENCE))
                except GatewayError as error:
                    why_none = self.why(error)
            http = self.config.outputs.http
            yield View(
                language, root, gateway, self.names, history, now, zone_of(self.config), why_none,
                is_app=http is not None and http.is_in_app,
            )  # fmt: skip

    def shown(self, language: Language, root: str, page: Callable[[View], Made]) -> Made:
        """Return a page; damage that is found while the history is read is as if there were none."""
        try:
            with self.view(language, root) as view:
                return page(view)
        except GatewayError as error:
            with self.view(language, root, self.why(error)) as view:
                return page(view)

    def why(self, error: GatewayError) -> NoHistory:
        """Return what an error of the history means to a reader."""
        if isinstance(error, NoHistoryError):
            return NoHistory.NOT_YET if self.config.keeps_history else NoHistory.OFF
        return NoHistory.LOCKED if isinstance(error, StateBusyError) else NoHistory.UNREADABLE
