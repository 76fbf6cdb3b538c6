"""The pure core: it decides and touches nothing. Same input, same output."""
