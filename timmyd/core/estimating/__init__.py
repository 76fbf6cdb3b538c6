"""How likely a call succeeds, which option is best, and how good these statements were."""
