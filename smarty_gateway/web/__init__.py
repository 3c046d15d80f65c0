"""Serves the page, the JSON API and the metrics over HTTP; nothing can be changed through it."""
