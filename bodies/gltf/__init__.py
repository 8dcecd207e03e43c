"""glTF: the container, the default head, and animation for heads of one's own."""
