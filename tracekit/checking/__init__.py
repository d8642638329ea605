"""Is a trace sound? All of it is read, what is damaged is named, and what has a copy is put back."""
