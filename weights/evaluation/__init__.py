"""The evaluation of archives: on procedural scenes, and on real photos against COLMAP."""
