//! Streams photos to a server, and writes the point cloud when all are there.
//!
//! ```bash
//! cargo run -p pointstream-client --example stream -- http://127.0.0.1:8000 scene.ply *.jpg
//! ```
//!
//! The extension names the format. A server that asks for a token takes that in `POINTSTREAM_TOKEN`.

use std::error::Error;
use std::path::{Path, PathBuf};

use pointstream_client::{Client, Event, Events, Format, Parameters, Session};

/// Photos between two updates.
const STEP: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(target)) = (arguments.next(), arguments.next().map(PathBuf::from)) else {
        return Err("give the address of a server, the file to write, and photos".into());
    };
    let photos: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    // Before anything is sent.
    Format::of(&target)?;
    let mut client = Client::new(&url)?;
    if let Ok(token) = std::env::var("POINTSTREAM_TOKEN") {
        client = client.token(token);
    }
    let parameters = Parameters {
        max_images: Some(u32::try_from(photos.len())?.max(1)),
        process_res: Some(336),
        ..Parameters::default()
    };
    let session = client.create(parameters).await?;
    let showing = tokio::spawn(show(session.events()));
    let made = stream(&session, &photos, &target).await;
    // It ends in any case; otherwise it would wait on the server until it expires.
    let deleted = session.delete().await;
    showing.await?;
    // Why there is no scene matters more than why the session could not be deleted.
    made?;
    deleted?;
    Ok(())
}

async fn stream(
    session: &Session,
    photos: &[PathBuf],
    target: &Path,
) -> Result<(), Box<dyn Error>> {
    for some in photos.chunks(STEP) {
        for (photo, answer) in some.iter().zip(session.upload_many(some).await?) {
            if let Err(error) = answer {
                println!("{} is left out: {error}", photo.display());
            }
        }
        let update = session.generate().await?;
        let (points, cameras) = (session.cloud().len(), session.cloud().cameras().len());
        let verdict = update.quality()?.verdict;
        println!("{points} points of {cameras} photos: {verdict}");
    }
    let quality = session.finalize().await?.quality()?;
    println!("{}", quality.verdict);
    for advice in quality.advice {
        println!("- {advice}");
    }
    session.download(target, None).await?;
    println!("wrote {}", target.display());
    Ok(())
}

async fn show(mut events: Events) {
    while let Some(Ok(event)) = events.next().await {
        match event {
            Event::Progress(progress) => {
                println!("{:3.0} % {}", 100.0 * progress.progress, progress.message);
            }
            Event::Disconnected { reason, delay, .. } => println!("{reason}; again in {delay:?}"),
            _ => {}
        }
    }
}
