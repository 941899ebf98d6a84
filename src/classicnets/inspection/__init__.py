"""What any module is, asked from outside: shapes, counts, and why an image does not fit."""
