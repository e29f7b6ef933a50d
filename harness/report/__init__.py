"""Reports: the summary on a terminal and the HTML page, from records."""
