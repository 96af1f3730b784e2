"""People look at what runs made."""
