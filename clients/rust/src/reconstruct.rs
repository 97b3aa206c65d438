//! Photos in, a file out.

use std::convert::Infallible;

use bytes::Bytes;

use crate::client::Client;
use crate::cloud::Cloud;
use crate::error::Error;
use crate::event::{Event, Quality, Scene};
use crate::events::Events;
use crate::format::Format;
use crate::image::Image;
use crate::parameters::{Deltas, FinalizeMode, Parameters, SessionOptions};
use crate::session::Session;

/// Is called for each event.
pub type OnEvent = Box<dyn FnMut(&Event) + Send>;

/// What [`reconstruct`] makes.
#[derive(Default)]
pub struct ReconstructOptions {
    /// The parameters of the session. All photos are reconstructed together unless
    /// `finalize_mode` says otherwise.
    pub parameters: Parameters,
    /// The format of the file, by default a GLB.
    pub format: Option<Format>,
    /// Called for each event of the session. It must not block.
    pub on_event: Option<OnEvent>,
}

/// A final result.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    /// The file.
    pub data: Bytes,
    /// The format of the file.
    pub format: Format,
    /// The final result of the session, as a GLB.
    pub scene: Scene,
}

impl Reconstruction {
    /// Whether it can be relied on. A result whose verdict is `failed` has no points.
    pub fn quality(&self) -> Result<Quality, Error> {
        self.scene.quality()
    }

    /// Points and cameras.
    pub fn cloud(&self) -> Result<Cloud, Error> {
        self.scene.cloud()
    }
}

/// Reconstructs photos. [`Error::ImageRefused`]: one cannot be used.
///
/// It uses a session, not `POST /reconstruct`: a lost connection costs nothing then, and the answer
/// has all metadata. The session is deleted at the end; if the future is dropped before, the server
/// ends it when it has been idle for long enough.
///
/// ```no_run
/// use pointstream_client::{Client, ReconstructOptions, reconstruct};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new("http://127.0.0.1:8000")?;
/// let photos = ["a.jpg", "b.jpg"].map(std::path::Path::new);
/// let made = reconstruct(&client, photos, ReconstructOptions::default()).await?;
/// println!("{}", made.quality()?.verdict);
/// std::fs::write("scene.glb", &made.data)?;
/// # Ok(())
/// # }
/// ```
pub async fn reconstruct<I>(
    client: &Client,
    photos: I,
    options: ReconstructOptions,
) -> Result<Reconstruction, Error>
where
    I: IntoIterator,
    I::Item: Into<Image>,
{
    let photos: Vec<Image> = photos.into_iter().map(Into::into).collect();
    let mut parameters = options.parameters;
    let count = u32::try_from(photos.len()).unwrap_or(u32::MAX).max(1);
    parameters.max_images.get_or_insert(count);
    parameters.finalize_mode.get_or_insert(FinalizeMode::Whole);
    let mut session = SessionOptions::from(parameters);
    session.socket.deltas = Some(Deltas::Cumulative);
    let session = client.create(session).await?;
    let format = options.format.unwrap_or(Format::Glb);
    let made = match options.on_event {
        None => make(&session, photos, format).await,
        Some(on_event) => {
            let mut events = session.events();
            tokio::select! {
                // First what happened, then its end.
                biased;
                never = tell(&mut events, on_event) => match never {},
                made = make(&session, photos, format) => made,
            }
        }
    };
    let deleted = session.delete().await;
    let made = made?;
    deleted?;
    Ok(made)
}

async fn make(
    session: &Session,
    photos: Vec<Image>,
    format: Format,
) -> Result<Reconstruction, Error> {
    for answer in session.upload_many(photos).await? {
        answer?;
    }
    let scene = session.finalize().await?;
    let data = match format {
        Format::Glb => scene.glb.clone(),
        _ => session.result(format).await?,
    };
    Ok(Reconstruction {
        data,
        format,
        scene,
    })
}

async fn tell(events: &mut Events, mut on_event: OnEvent) -> Infallible {
    while let Some(Ok(event)) = events.next().await {
        on_event(&event);
    }
    // The session has ended. Its calls say why.
    std::future::pending().await
}
