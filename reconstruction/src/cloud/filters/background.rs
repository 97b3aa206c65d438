//! Black and white backgrounds, as in photos of objects and rendered pictures.
//!
//! The bounds are those of Depth Anything 3's export to GLB.

/// Channels of a black pixel are below this.
pub const BLACK_BELOW: u8 = 16;

/// Channels of a white pixel are at least this.
pub const WHITE_FROM: u8 = 240;

/// Whether all three channels are below [`BLACK_BELOW`].
pub fn is_black(color: [u8; 3]) -> bool {
    color.iter().all(|&channel| channel < BLACK_BELOW)
}

/// Whether all three channels are at least [`WHITE_FROM`].
pub fn is_white(color: [u8; 3]) -> bool {
    color.iter().all(|&channel| channel >= WHITE_FROM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_counts() {
        assert!(is_black([15, 15, 15]) && is_black([0, 0, 0]));
        assert!(!is_black([16, 0, 0]) && !is_black([0, 16, 0]) && !is_black([0, 0, 16]));
        assert!(is_white([240, 240, 240]) && is_white([255, 255, 255]));
        assert!(!is_white([239, 255, 255]));
        assert!(!is_white([255, 239, 255]) && !is_white([255, 255, 239]));
    }
}
