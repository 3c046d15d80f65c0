"""English, French and German for people who read the page, the report and the mail."""
