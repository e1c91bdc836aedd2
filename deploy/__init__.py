"""Files of deployment that the command line needs at run time."""
