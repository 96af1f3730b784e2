"""One file for each screen, each with a ROUTER."""
