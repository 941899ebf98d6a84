"""Faces: what happened, as pictures, pages and lines. They consume events and rows and know no net."""
