"""What is declared of diffusers' models."""
