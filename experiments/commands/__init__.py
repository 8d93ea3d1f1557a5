"""One module for each command; the folders are what a user wants to do."""
