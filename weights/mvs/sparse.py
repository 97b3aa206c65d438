"""Sparse reconstruction: cameras and triangulated tracks from the features of all frames.

    encode_features(images: Tensor) -> Tensor
        float32 [n, 3, H, W] in 0..1 -> float32 [n, F], row i depends on image i only
    feature_length(height: int, width: int) -> int
        the F of the above
    reconstruct(features: Tensor, size: Tensor) -> SparseModel
        float32 [N, F], int64 [2] = (H, W)
"""
