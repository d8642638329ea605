"""Tasks that can be trained: documents, tokens that are ready, and the toy model's vectors."""
