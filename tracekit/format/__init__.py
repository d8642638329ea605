"""What a trace is on disk: its arrays, documents and marker, and how values become bytes and values again."""
