"""What people see: text, tables, bars, errors."""
