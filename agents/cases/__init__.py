"""Cases for processes and commands: read, acted upon, erased."""
