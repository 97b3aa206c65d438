"""Data directories of earlier formats, as their programs left them."""
