"""What people look at, as HTML: the page of the gateway and the report."""
