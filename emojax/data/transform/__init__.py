"""What is done to images and sound between file and network."""
