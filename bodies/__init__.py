"""What wears the face: files, pictures and bridges."""
