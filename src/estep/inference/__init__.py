"""After and around fits: selection."""
