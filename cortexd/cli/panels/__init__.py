"""What a panel shows of this user's spending: one state, and a line for each kind of panel."""
