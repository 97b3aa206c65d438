//! Figures of the disk.

use prometheus::{IntGauge, Registry, register_int_gauge_with_registry};

/// The gauges of the sessions' disk space; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct DiskMetrics {
    used: IntGauge,
    limit: IntGauge,
    free: IntGauge,
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
        })
    }

    pub fn used(&self, bytes: u64) {
        self.used.set(signed(bytes));
    }

    pub fn limit(&self, bytes: u64) {
        self.limit.set(signed(bytes));
    }

    pub fn free(&self, bytes: u64) {
        self.free.set(signed(bytes));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
