"""Pictures of the history, for the command, the page and the report."""
