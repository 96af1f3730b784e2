"""What a session is handed beside the model and its data."""
