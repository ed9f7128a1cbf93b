"""What is known, how it looks and when a person is told: pure, without a bus."""
