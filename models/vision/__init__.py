"""Vision encoders of GNPFA: which expression a picture of a face shows, and how the head lies."""
