"""Which address shows which page; joins pages, API and metrics into one application."""

from smarty_gateway.web.access import WsgiApp
from smarty_gateway.web.site_state import SiteState


def application(state: SiteState) -> WsgiApp:
    """Return the application without access control (see `access`)."""
    raise NotImplementedError
