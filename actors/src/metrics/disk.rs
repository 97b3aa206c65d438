//! Figures of the disk.

use prometheus::{IntGauge, Registry, register_int_gauge_with_registry};

/// The gauges of the sessions' disk space; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct DiskMetrics {
    used: IntGauge,
    limit: IntGauge,
    free: IntGauge,
    left: IntGauge,
}

impl DiskMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            used: register_int_gauge_with_registry!(
                "pointstream_disk_used_bytes",
                "Disk space of the files of all sessions.",
                registry
            )?,
            limit: register_int_gauge_with_registry!(
                "pointstream_disk_limit_bytes",
                "Disk space that the files of all sessions may take.",
                registry
            )?,
            free: register_int_gauge_with_registry!(
                "pointstream_disk_free_bytes",
                "Free space on the disk of the sessions' files, when the server last looked.",
                registry
            )?,
            left: register_int_gauge_with_registry!(
                "pointstream_disk_left_bytes",
                "Disk space that the files of all sessions may still take.",
                registry
            )?,
        })
    }

    /// All sessions use so many bytes of so many.
    pub fn used(&self, bytes: u64, limit: u64) {
        self.used.set(signed(bytes));
        self.limit.set(signed(limit));
        self.left.set(signed(limit.saturating_sub(bytes)));
    }

    pub fn free(&self, bytes: u64) {
        self.free.set(signed(bytes));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
