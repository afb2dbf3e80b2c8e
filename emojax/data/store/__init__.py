"""What a prepared data set is on disk, and how it is read back."""
