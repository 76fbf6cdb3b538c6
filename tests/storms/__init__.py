"""Storms that one enrolled user may raise, beside another whose calls must be counted soon: `python -m tests.storms`."""
