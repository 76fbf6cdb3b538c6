"""Whether a policy value should change: evidence of calls, trials of changes, the reasons in words."""
