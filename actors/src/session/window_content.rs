//! What becomes of a window's prediction.

use std::sync::Arc;

use pointstream_reconstruction::cloud::World;
use pointstream_reconstruction::map::{KnownCameras, LocalCoordinates, Map, Window, WindowKind};

use super::context::Context;
use super::ledger::{Ledger, StoredMap};

/// What the chunk of the window is.
pub(super) enum Content {
    /// The beginning of a map, in the session's coordinates.
    First { world: Option<Arc<World>> },
    /// The beginning of a piece of the map, in coordinates of its own.
    Piece,
    /// A chunk of a map, in coordinates near its placed frames.
    Extended {
        map: Arc<StoredMap>,
        piece: usize,
        local: Box<LocalCoordinates>,
    },
    /// A chunk of a map, in coordinates of its own: the model cannot extend.
    Joined {
        map: Arc<StoredMap>,
        /// The cameras of the session that the client knows.
        known: KnownCameras,
    },
    /// None: the window joins two pieces.
    Join {
        map: Arc<StoredMap>,
        /// If the model extends the larger piece.
        local: Option<Box<LocalCoordinates>>,
    },
}

impl Content {
    pub fn of(context: &Context, ledger: &Ledger, window: &Window) -> Option<Self> {
        let map = || ledger.map().cloned();
        let extends = context.settings.pool.model.metadata().extend;
        let local = |map: &StoredMap| {
            let first = *window.placed.first()?;
            let unit = map.map.model_unit(map.map.piece_of(first)?);
            LocalCoordinates::of(&map.map.camera(first)?, unit).map(Box::new)
        };
        Some(match window.kind {
            WindowKind::Begin => Self::First {
                world: ledger.world().cloned(),
            },
            WindowKind::Piece => Self::Piece,
            WindowKind::Extend if extends => {
                let map = map()?;
                Self::Extended {
                    piece: map.map.piece_of(*window.placed.first()?)?,
                    local: local(&map)?,
                    map,
                }
            }
            WindowKind::Extend => Self::Joined {
                map: map()?,
                known: ledger.known_cameras(),
            },
            WindowKind::Join => {
                let map = map()?;
                let local = match extends {
                    true => Some(local(&map)?),
                    false => None,
                };
                Self::Join { map, local }
            }
        })
    }

    /// The coordinates in which the model extends the map, if it does.
    pub fn extension(&self) -> Option<(&Map, &LocalCoordinates)> {
        match self {
            Self::Extended { map, local, .. }
            | Self::Join {
                map,
                local: Some(local),
            } => Some((&map.map, local)),
            _ => None,
        }
    }
}
