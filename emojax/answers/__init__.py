"""From pictures, videos and arrays to a table of answers, and what shows it."""
