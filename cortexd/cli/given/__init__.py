"""What people hand in: prompts, files, options."""
