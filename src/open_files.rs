//! The system's limit of open files.

use std::io;

/// Files that are open beside the connections and the results: the model, images, the runtime's own.
const OTHERS: u64 = 512;
/// Files of a session that are open: its journal and the log of it, and of its newest result one for each
/// format, and the pixels. A client that has yet to get an older result may need one more. Those of a map
/// have one more for each run of the model; few sessions are that long.
const OF_SESSION: u64 = 18;

/// The system's limit of open files, raised as far as the system allows: long sessions need many.
#[derive(Debug, Clone, Copy)]
pub struct OpenFiles(u64);

impl OpenFiles {
    /// Raises the limit. Stored sessions open their files, so this comes before them.
    ///
    /// # Errors
    /// If the system does not tell its limit, or refuses to raise it.
    pub fn raise() -> io::Result<Self> {
        rlimit::increase_nofile_limit(u64::MAX).map(Self)
    }

    /// How many connections fit beside the files of so many sessions, at most `wanted`.
    pub fn connections_that_fit(self, wanted: usize, sessions: usize) -> usize {
        let others = OF_SESSION
            .saturating_mul(sessions as u64)
            .saturating_add(OTHERS);
        // With a very low limit, half of the files are for connections.
        let most = self.0.saturating_sub(others).max(self.0 / 2).max(1);
        wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(wanted: usize, sessions: usize, limit: u64) -> usize {
        OpenFiles(limit).connections_that_fit(wanted, sessions)
    }

    #[test]
    fn connections_leave_room_for_other_files() {
        assert_eq!(fitting(1024, 100, 1 << 20), 1024);
        assert_eq!(fitting(1024, 8, 1680), 1024);
        assert_eq!(fitting(1024, 9, 1680), 1006);
        assert_eq!(fitting(1024, 100, 1024), 512);
        assert_eq!(fitting(1024, 100, 256), 128);
        assert_eq!(fitting(100, 1, 1024), 100);
        assert_eq!(fitting(100, usize::MAX, 0), 1);
    }
}
