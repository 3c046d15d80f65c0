"""The JSON API, `/api/v1`: its routes; `openapi` describes them."""

from typing import TYPE_CHECKING

from smarty_gateway.web.site_state import SiteState

if TYPE_CHECKING:
    from bottle import Bottle


def add_api(app: "Bottle", state: SiteState) -> None:
    """Add the routes."""
    raise NotImplementedError
