"""Where changes come from. Each source is a file of its own and knows no other source and no engine."""
