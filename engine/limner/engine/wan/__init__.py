"""What only the Wan 2.1 family has: its autoencoders, its text encoder, its files."""
