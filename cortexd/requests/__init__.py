"""A request's life: taken in, joined to an earlier one, admitted, authorised, paid for, tried, settled, told."""
