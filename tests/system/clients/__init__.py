"""Real programs that speak a vendor's API, asked what people ask them, on a real daemon's models."""
