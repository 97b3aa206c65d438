"""Open every format of one result with the format's common libraries.

`python -m pytest integration/formats --result FOLDER`, where the folder has the result in every
format (`result.glb`, `result.ply`, ...). The end-to-end tests create one and run these tests.
"""
