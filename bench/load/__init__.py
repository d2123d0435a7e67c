"""How requests are sent, on a schedule or all before the start, and what becomes of each of them."""
