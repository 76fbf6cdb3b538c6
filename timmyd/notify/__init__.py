"""What is told to whom: events of the database, sent on by a process of its own that nothing else waits for."""
