"""Opens every format of one result with the libraries that people use for it.

`python -m pytest integration/formats --result FOLDER`, where the folder has the result in every
format (`result.glb`, `result.ply`, ...). The end-to-end tests make one and call this.
"""
