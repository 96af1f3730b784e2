"""Findings about records one by one, whatever they are: those that are odd in one way, and those that repeat another made one."""
