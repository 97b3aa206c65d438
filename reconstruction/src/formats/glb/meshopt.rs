//! The vertex codec of `EXT_meshopt_compression`.

use super::error::GlbError;

/// Version of the codec's format in this extension. Only its successor `KHR_meshopt_compression`,
/// which few viewers support, uses version 1.
const VERSION: i32 = 0;

/// Has no effect on version 0.
const LEVEL: i32 = 2;

/// Compresses vertices without loss, for the mode `ATTRIBUTES`. `T` must consist of numbers without
/// padding, of a multiple of 4 bytes, at most 256.
pub fn encode<T>(vertices: &[T]) -> Result<Vec<u8>, GlbError> {
    let mut encoded = meshopt::encode_vertex_buffer_level(vertices, LEVEL, Some(VERSION))?;
    encoded.shrink_to_fit();
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_is_lossless_and_of_version_0() {
        for count in [1_usize, 15, 16, 17, 256, 257, 10_000] {
            let positions: Vec<[i16; 4]> = (0..count)
                .map(|i| [i as i16, (i * i) as i16, -(i as i16 / 3), 0])
                .collect();
            let encoded = encode(&positions).unwrap();
            assert_eq!(meshopt::decode_vertex_version(&encoded), Some(0));
            let decoded: Vec<[i16; 4]> = meshopt::decode_vertex_buffer(&encoded, count).unwrap();
            assert_eq!(decoded, positions);
            assert_eq!(encode(&positions).unwrap(), encoded);
        }
        let colors = [[1_u8, 2, 3, 255], [255, 0, 128, 255]];
        let encoded = encode(&colors).unwrap();
        let decoded: Vec<[u8; 4]> = meshopt::decode_vertex_buffer(&encoded, 2).unwrap();
        assert_eq!(decoded, colors);
    }
}
