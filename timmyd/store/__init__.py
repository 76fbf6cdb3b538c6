"""The only room that knows our SQL."""
