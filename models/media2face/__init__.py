"""Media2Face: latent diffusion of facial animation, guided by speech and style."""
