"""What any module is, asked from outside: shapes, counts, and why a picture does not fit."""
