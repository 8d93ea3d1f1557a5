"""What commands leave behind: the rows of migrations, their schema and files, and their reading as pandas frames."""
