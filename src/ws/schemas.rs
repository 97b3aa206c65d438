//! The messages of the socket as types, for its description.
//!
//! What is received is read by `protocol`, so that its errors can name what is wrong; results are
//! written by `frames` in parts. That both do as these types say is tested on the wire.

#![expect(
    dead_code,
    clippy::large_enum_variant,
    reason = "types that only describe"
)]

use pointstream_actors::ResultMetadata;
use utoipa::ToSchema;

/// What clients send.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromClient {
    /// Adds an image.
    Image {
        /// An image file (JPEG, PNG or WebP) as base64, or a data URL of one.
        data: String,
        /// What the client calls it; a label and nothing else.
        #[schema(max_length = 16384)]
        filename: Option<String>,
        /// 3x3, from the camera to pixels of the image, the centre of the top left one being
        /// (0, 0). Goes with `extrinsics`.
        intrinsics: Option<[[f64; 3]; 3]>,
        /// 4x4, from the world, one for all images, to the camera: x right, y down, z forward.
        /// Goes with `intrinsics`.
        extrinsics: Option<[[f64; 4]; 4]>,
        /// What the client calls this message; its answers repeat it.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
    /// Asks for a point cloud of the images so far.
    Generate {
        /// Whether the answer is a `delta` rather than `complete`; true if it is missing.
        incremental: Option<bool>,
        /// What the client calls this message; its answers repeat it.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
    /// Asks for the final point cloud; nothing but `ping` is accepted afterwards.
    Finalize {
        /// What the client calls this message; its answers repeat it.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
    /// Asks for a sign of life.
    Ping {},
}

/// Headers of the binary messages that clients send.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HeaderFromClient {
    /// Adds an image, whose file follows the header.
    Image {
        /// What the client calls it; a label and nothing else.
        #[schema(max_length = 16384)]
        filename: Option<String>,
        /// 3x3, from the camera to pixels of the image, the centre of the top left one being
        /// (0, 0). Goes with `extrinsics`.
        intrinsics: Option<[[f64; 3]; 3]>,
        /// 4x4, from the world, one for all images, to the camera: x right, y down, z forward.
        /// Goes with `intrinsics`.
        extrinsics: Option<[[f64; 4]; 4]>,
        /// What the client calls this message; its answers repeat it.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
}

/// What the server sends beside its small messages.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromServer {
    /// A point cloud of the images so far.
    Delta {
        /// What the client called the request, if it did.
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<String>,
        /// Images that the session held when the point cloud was asked for.
        image_count: u32,
        /// The scene as binary glTF, as base64.
        glb_base64: String,
        metadata: ResultMetadata,
    },
    /// A point cloud that is complete.
    Complete {
        /// What the client called the request, if it did.
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<String>,
        /// Images that the session held when the point cloud was asked for.
        image_count: u32,
        /// The scene as binary glTF, as base64.
        glb_base64: String,
        metadata: ResultMetadata,
    },
}

/// Headers of the binary messages that the server sends to clients that asked for them.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HeaderFromServer {
    /// A point cloud of the images so far, as binary glTF behind the header.
    Delta {
        /// What the client called the request, if it did.
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<String>,
        /// Images that the session held when the point cloud was asked for.
        image_count: u32,
        metadata: ResultMetadata,
    },
    /// A point cloud that is complete, as binary glTF behind the header.
    Complete {
        /// What the client called the request, if it did.
        #[schema(nullable = false, min_length = 1, max_length = 128)]
        id: Option<String>,
        /// Images that the session held when the point cloud was asked for.
        image_count: u32,
        metadata: ResultMetadata,
    },
}
