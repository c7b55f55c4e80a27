"""Generated hardware: what varies is rendered from templates, what does not is copied."""
