"""What a machine keeps on its own disk while the database that it shares is away, to be booked once it is back."""
