"""One script per model, resumable."""
