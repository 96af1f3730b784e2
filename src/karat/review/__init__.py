"""People look at made things: what is shown to whom, what they said, and how far they can be believed."""
