"""Small changes to the source that the tests must notice; by `python -m tests.mutation`."""
