//! The facts about a reconstruction, as opposed to the live state of its session.
//!
//! The ledger changes only by [`Ledger::apply`], which is pure: the same records give the same
//! ledger. Records say what has happened and are never refused. They serialise, so that a later process
//! rebuilds the ledger from the session's [journal](crate::journal).

mod record;

pub(crate) use record::{
    ChunkContent, ChunkFrame, FoundPlaces, Image, NewSession, Record, RequestRecord, ResultRecord,
    ResultSource, StoredChunk, chunk_files, image_files,
};

use crate::blobs::BlobName;
use crate::error_code::ErrorCode;
use crate::ids::{MessageId, RequestKey, SessionId};
use crate::outbox::Webhook;
use crate::session_config::SessionConfig;
use pointstream_reconstruction::cloud::World;
use pointstream_reconstruction::formats::ResultFormat;
use pointstream_reconstruction::map::{KnownCameras, Map, Places};
use pointstream_reconstruction::quality::QualitySummary;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// The state of a reconstruction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ledger {
    session: SessionId,
    place: u64,
    created_at: SystemTime,
    config: SessionConfig,
    /// The name of its creator.
    creator: Option<Arc<str>>,
    /// Where its events are sent, if another server may have to know.
    webhook: Option<Webhook>,
    /// Whether it goes on without its creator.
    kept: bool,
    /// How many records have changed the map.
    map_changes: u64,
    /// Whether the session was deleted or has expired.
    ended: bool,
    /// How often it was restored.
    restored: u64,
    /// The last activity that was noted.
    active_at: SystemTime,
    /// In the order in which they were accepted.
    images: Vec<Image>,
    /// The coordinates of the session's results, fixed by the first one.
    world: Option<Arc<World>>,
    /// The map, if the session has more images than one run of the model takes.
    map: Option<Arc<StoredMap>>,
    /// Vectors of frames, by which the map finds those of one place.
    places: Places,
    /// The newest result.
    result: Option<Arc<ResultRecord>>,
    /// Whether the final result exists.
    completed: bool,
    /// Why the last request failed, until one succeeds.
    error: Option<String>,
    /// Requests without an answer, the oldest first.
    requests: VecDeque<RequestRecord>,
    /// Key of the last request.
    last_request: RequestKey,
    /// Number that the last request with an answer ran under.
    last_run: u64,
    /// Answers that no client has received, the oldest first.
    owed: VecDeque<OwedAnswer>,
}

/// An answer that no client has received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwedAnswer {
    pub request: RequestKey,
    /// The client's identifier of the request.
    pub id: Option<MessageId>,
    pub content: OwedContent,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OwedContent {
    Result(Arc<ResultRecord>),
    Error { code: ErrorCode, message: String },
}

/// The map with its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredMap {
    pub map: Map,
    /// For each chunk, the identifier of its prediction and of its points.
    pub files: Vec<Uuid>,
    /// The coordinates of each piece, by its number.
    pub worlds: BTreeMap<usize, Arc<World>>,
    /// For each chunk, the numbers of the frames of its run, also of those that were placed before.
    pub runs: Vec<Vec<u64>>,
}

impl Ledger {
    /// The ledger of a new session, after the record of its creation.
    pub fn new(new: NewSession) -> Self {
        let NewSession {
            session,
            place,
            created_at,
            config,
            creator,
            webhook,
        } = new;
        Self {
            session,
            place,
            created_at,
            config,
            creator,
            webhook,
            kept: false,
            map_changes: 0,
            ended: false,
            restored: 0,
            active_at: created_at,
            images: Vec::new(),
            world: None,
            map: None,
            places: Places::default(),
            result: None,
            completed: false,
            error: None,
            requests: VecDeque::new(),
            last_request: 0,
            last_run: 0,
            owed: VecDeque::new(),
        }
    }

    /// Whether a record follows from what the ledger has. Those that a program writes do; one that was
    /// damaged later may not, and must not be applied.
    pub fn fits(&self, record: &Record) -> bool {
        let map = self.map.as_ref().map(|stored| &stored.map);
        match record {
            Record::ChunkStored(chunk) => match &chunk.content {
                ChunkContent::First { chunk, .. } | ChunkContent::Piece { chunk, .. } => {
                    chunk.begins()
                }
                ChunkContent::Next(next) => map.is_none_or(|map| map.fits(next)),
            },
            Record::PiecesJoined(join) => map.is_none_or(|map| map.fits_join(join)),
            Record::WorldChanged(change) => map.is_none_or(|map| map.fits_world(change)),
            // Keys count requests; the outbox of webhooks has them as signed numbers.
            Record::ResultStored { request, .. } | Record::RequestFailed { request, .. } => {
                i64::try_from(*request).is_ok()
            }
            _ => true,
        }
    }

    /// Applies a record, which [fits](Self::fits).
    pub fn apply(&mut self, record: Record) {
        match record {
            // Only the first record creates a session, and this is a later one.
            Record::SessionCreated(_) => {}
            Record::SessionKept => self.kept = true,
            Record::SessionRestored => {
                self.restored += 1;
                // Uploads that were not acknowledged are lost; later ones are not part of a request.
                let next = self.next_upload();
                for request in &mut self.requests {
                    request.before = request.before.min(next);
                }
            }
            Record::SessionEnded => self.ended = true,
            Record::SessionUsed { at } => self.active_at = at,
            Record::ImageStored(image) => self.images.push(*image),
            Record::PlaceFound { number, place } => self.places.insert(number, place),
            Record::ChunkStored(chunk) => {
                self.map_changes += 1;
                self.add_chunk(*chunk);
            }
            Record::MapCorrected(corrections) => {
                self.map_changes += 1;
                // Corrections are made for a map that the ledger has.
                if let Some(stored) = &mut self.map {
                    Arc::make_mut(stored).map.correct(&corrections);
                }
            }
            Record::WorldChanged(change) => {
                self.map_changes += 1;
                self.change_map(|stored| stored.map.change_world(&change));
            }
            Record::PiecesJoined(join) => {
                self.map_changes += 1;
                self.change_map(|stored| stored.map.join(&join));
            }
            Record::RequestMade(request) => {
                self.last_request = request.key;
                self.requests.push_back(request);
            }
            Record::ResultStored {
                request,
                result,
                world,
                completes,
            } => {
                self.last_run = result.number;
                self.answer(request, OwedContent::Result(result.clone()));
                self.result = Some(result);
                self.world = world.or_else(|| self.world.take());
                self.completed |= completes;
                self.error = None;
            }
            Record::RequestFailed {
                request,
                number,
                code,
                error,
            } => {
                self.error = Some(error.clone());
                let content = OwedContent::Error {
                    code,
                    message: error,
                };
                self.last_run = number.unwrap_or(self.last_run);
                self.answer(request, content);
            }
            Record::RequestCancelled {
                request,
                number,
                message,
            } => {
                let code = ErrorCode::Cancelled;
                self.last_run = number.unwrap_or(self.last_run);
                self.answer(request, OwedContent::Error { code, message });
            }
            Record::Reopened => self.completed = false,
            Record::AnswerDelivered { request } => {
                self.owed.retain(|owed| owed.request != request);
            }
        }
    }

    /// A request has an answer.
    fn answer(&mut self, request: RequestKey, content: OwedContent) {
        let mut of_request = None;
        self.requests.retain(|waiting| {
            let answered = waiting.key == request;
            if answered {
                of_request = waiting.id.clone();
            }
            !answered
        });
        self.owed.push_back(OwedAnswer {
            request,
            id: of_request,
            content,
        });
    }

    fn add_chunk(&mut self, chunk: StoredChunk) {
        match (chunk.content, &mut self.map) {
            (
                ChunkContent::First {
                    chunk: first,
                    world,
                },
                earlier,
            ) => {
                let earlier = earlier.as_ref().map(|stored| &stored.map);
                self.map = Some(Arc::new(StoredMap {
                    map: Map::begin(first, earlier),
                    files: vec![chunk.file],
                    worlds: BTreeMap::from([(0, world.clone())]),
                    runs: vec![chunk.run],
                }));
                self.world = Some(world);
            }
            (
                ChunkContent::Piece {
                    chunk: first,
                    world,
                },
                Some(_),
            ) => self.change_map(|stored| {
                let piece = stored.map.add_piece(first);
                stored.worlds.insert(piece, world);
                stored.files.push(chunk.file);
                stored.runs.push(chunk.run);
            }),
            (ChunkContent::Next(next), Some(_)) => self.change_map(|stored| {
                stored.map.add(next);
                stored.files.push(chunk.file);
                stored.runs.push(chunk.run);
            }),
            // Chunks are made for a map that the ledger has.
            (ChunkContent::Piece { .. } | ChunkContent::Next(_), None) => {}
        }
    }

    /// Changes the map. If another piece is drawn then, the session has its coordinates.
    fn change_map(&mut self, change: impl FnOnce(&mut StoredMap)) {
        let Some(stored) = &mut self.map else { return };
        let stored = Arc::make_mut(stored);
        let before = stored.map.drawn_piece();
        change(stored);
        let drawn = stored.map.drawn_piece();
        if drawn != before
            && let Some(world) = stored.worlds.get(&drawn)
        {
            self.world = Some(world.clone());
        }
    }

    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Its place among the sessions of the data directory, in the order of creation.
    pub fn place(&self) -> u64 {
        self.place
    }

    pub fn created_at(&self) -> SystemTime {
        self.created_at
    }

    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The cameras that the client knows, by the numbers of their images.
    pub fn known_cameras(&self) -> KnownCameras {
        let images = self.images.iter();
        images
            .filter_map(|image| Some((image.number, image.camera?)))
            .collect()
    }

    pub fn image_count(&self) -> u32 {
        // Never more than `max_images`, which is a u32.
        u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    /// Size of all images in bytes, as the client sent them.
    pub fn image_bytes(&self) -> u64 {
        let bytes = self.images.iter().map(|image| image.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    /// Whether the session has all images that it may have.
    pub fn is_full(&self) -> bool {
        self.image_count() >= self.config.max_images
    }

    pub fn world(&self) -> Option<&Arc<World>> {
        self.world.as_ref()
    }

    /// The newest result, if there is one.
    pub fn result(&self) -> Option<&Arc<ResultRecord>> {
        self.result.as_ref()
    }

    /// The map, if there is one.
    pub fn map(&self) -> Option<&Arc<StoredMap>> {
        self.map.as_ref()
    }

    /// Vectors of frames, by which the map finds those of one place.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The verdict on the newest result.
    pub fn quality(&self) -> Option<QualitySummary> {
        let result = self.result.as_ref()?;
        Some(result.metadata.quality.summary())
    }

    /// Where its events are sent, if another server may have to know.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// The name of the session's creator.
    pub fn creator(&self) -> Option<&Arc<str>> {
        self.creator.as_ref()
    }

    /// Whether the session goes on without its creator.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// Whether the session was deleted or has expired.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// How many records have changed the map. A count stands for one state of the map.
    pub fn map_changes(&self) -> u64 {
        self.map_changes
    }

    /// How often it was restored.
    pub fn restored(&self) -> u64 {
        self.restored
    }

    /// The last activity that was noted.
    pub fn active_at(&self) -> SystemTime {
        self.active_at
    }

    /// Requests without an answer, the oldest first.
    pub fn requests(&self) -> &VecDeque<RequestRecord> {
        &self.requests
    }

    /// Answers that no client has received, the oldest first.
    pub fn owed(&self) -> &VecDeque<OwedAnswer> {
        &self.owed
    }

    /// The files that belong to what is known.
    pub fn files(&self) -> BTreeSet<BlobName> {
        let images = self.images.iter().flat_map(Image::files);
        let chunks = self.map.iter().flat_map(|stored| &stored.files);
        let mut of_result: Vec<Uuid> = Vec::new();
        if let Some(ResultRecord {
            source: ResultSource::Chunks(frames),
            ..
        }) = self.result.as_deref()
        {
            of_result.extend(frames.iter().flatten().map(|frame| frame.file));
        }
        let of_result = of_result.into_iter().flat_map(chunk_files);
        let owed = self.owed.iter().filter_map(|owed| match &owed.content {
            OwedContent::Result(result) => Some(BlobName::Result(result.number, ResultFormat::Glb)),
            OwedContent::Error { .. } => None,
        });
        images
            .chain(chunks.flat_map(|file| chunk_files(*file)))
            .chain(of_result)
            .chain(self.result.iter().flat_map(|result| result.files()))
            .chain(owed)
            .collect()
    }

    pub fn is_completed(&self) -> bool {
        self.completed
    }

    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Number of the next upload; larger than that of every image.
    pub fn next_upload(&self) -> u64 {
        self.images
            .last()
            .map_or(1, |image| image.number.saturating_add(1))
    }

    /// Number of the next request; larger than that of every result.
    pub fn next_request(&self) -> u64 {
        self.last_run.saturating_add(1)
    }

    /// Key of the next request; larger than that of every other.
    pub fn next_key(&self) -> RequestKey {
        self.last_request.saturating_add(1)
    }
}

#[cfg(test)]
pub(super) mod tests;
