"""The view of what works and what does not, in words, with what to do."""

from smarty_gateway.pages.site import View


def health_page(view: View) -> str:
    """Return meters and outputs with their health."""
    raise NotImplementedError
