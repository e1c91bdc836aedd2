"""Files that the embedded broker needs at run time; a package, so that a checkout and a wheel find them alike."""
