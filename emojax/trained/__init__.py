"""What comes after training: a run looked up, evaluated again, exported, loaded."""
