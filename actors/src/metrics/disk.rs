//! Figures of the disk.

use prometheus::{
    IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};

/// The gauges of the sessions' disk space; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct DiskMetrics {
    used: IntGauge,
    limit: IntGauge,
    free: IntGauge,
    left: IntGauge,
    refused: IntCounterVec,
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
                "Disk space that the files of all sessions may take: --max-disk-mb, or less if the disk has less.",
                registry
            )?,
            free: register_int_gauge_with_registry!(
                "pointstream_disk_free_bytes",
                "Free space on the disk of the sessions' files.",
                registry
            )?,
            left: register_int_gauge_with_registry!(
                "pointstream_disk_left_bytes",
                "Disk space that the files of all sessions may still take.",
                registry
            )?,
            refused: register_int_counter_vec_with_registry!(
                "pointstream_disk_refusals_total",
                "Files that were not written because a session, a client, all sessions or the disk had no \
                 space for them.",
                &["whose"],
                registry
            )?,
        })
    }

    /// All sessions use so many bytes.
    pub fn used(&self, bytes: u64) {
        self.used.set(signed(bytes));
    }

    /// The disk has so many free bytes, of which sessions may take `available`.
    pub fn free(&self, bytes: u64, available: u64) {
        self.free.set(signed(bytes));
        self.left.set(signed(available));
        self.limit
            .set(self.used.get().saturating_add(signed(available)));
    }

    /// There was no space for a file, of what this word says.
    pub fn refused(&self, whose: &str) {
        self.refused.with_label_values(&[whose]).inc();
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
