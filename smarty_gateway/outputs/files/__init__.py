"""Files with all readings, one a day and meter."""
