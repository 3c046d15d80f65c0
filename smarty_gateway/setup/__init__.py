"""`setup`: finds the port, tries key and password where they are used, and writes the files."""
