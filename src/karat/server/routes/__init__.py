"""One file for each part of the API, each with a ROUTER."""
