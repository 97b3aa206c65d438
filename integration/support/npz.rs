//! The NPZ file of a result.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::client::Client;
use super::server::Server;

/// The mean depth of all pixels of a session's result.
pub async fn mean_depth(server: &Server, client: &Client) -> f64 {
    let path = format!("/ws/session/{}/result?format=npz", client.session);
    let depths = floats(&server.get(&path).await.body, "depth");
    assert!(!depths.is_empty());
    depths.iter().map(|depth| f64::from(*depth)).sum::<f64>() / depths.len() as f64
}

/// The numbers of an array of single precision in an NPZ file.
pub fn floats(npz: &[u8], array: &str) -> Vec<f32> {
    let mut zip = ZipArchive::new(Cursor::new(npz)).expect("an NPZ file is a zip file");
    let mut entry = zip
        .by_name(&format!("{array}.npy"))
        .expect("it is in the file");
    let mut npy = Vec::new();
    entry.read_to_end(&mut npy).expect("it can be read");
    // NPY 1.0: the header's length in bytes 8 and 9, the header, then the data.
    let header = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let (numbers, _) = npy[10 + header..].as_chunks::<4>();
    numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}
