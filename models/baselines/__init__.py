"""What Media2Face is compared with: other state spaces and another objective for the same network."""
