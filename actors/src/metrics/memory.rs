//! Gauges of the memory budgets.

use prometheus::{IntGauge, Registry, register_int_gauge_with_registry};

use super::MemoryUse;

/// The budgets of the system.
#[derive(Debug)]
pub(crate) struct MemoryMetrics {
    /// Images between the socket and the disk.
    pub uploads: BudgetMetrics,
    /// Images that are being decoded.
    pub decoding: BudgetMetrics,
    /// Encoded frames that wait for a generation.
    pub features: BudgetMetrics,
    /// Jobs of the model on the CPU.
    pub jobs: BudgetMetrics,
}

impl MemoryMetrics {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            uploads: BudgetMetrics {
                used: register_int_gauge_with_registry!(
                    "pointstream_upload_buffer_used_bytes",
                    "Memory of images between the socket and the disk.",
                    registry
                )?,
                limit: register_int_gauge_with_registry!(
                    "pointstream_upload_buffer_limit_bytes",
                    "Memory that images between the socket and the disk may take.",
                    registry
                )?,
            },
            decoding: BudgetMetrics {
                used: register_int_gauge_with_registry!(
                    "pointstream_decode_memory_used_bytes",
                    "Memory that images which are being decoded may take.",
                    registry
                )?,
                limit: register_int_gauge_with_registry!(
                    "pointstream_decode_memory_limit_bytes",
                    "Memory that the decoding of images may take.",
                    registry
                )?,
            },
            jobs: BudgetMetrics {
                used: register_int_gauge_with_registry!(
                    "pointstream_job_memory_used_bytes",
                    "Memory that running jobs of the model on the CPU were promised.",
                    registry
                )?,
                limit: register_int_gauge_with_registry!(
                    "pointstream_job_memory_limit_bytes",
                    "Memory that jobs of the model on the CPU may take, if it is free.",
                    registry
                )?,
            },
            features: BudgetMetrics {
                used: register_int_gauge_with_registry!(
                    "pointstream_feature_cache_used_bytes",
                    "Memory of encoded frames that wait for a generation.",
                    registry
                )?,
                limit: register_int_gauge_with_registry!(
                    "pointstream_feature_cache_limit_bytes",
                    "Memory that encoded frames may take.",
                    registry
                )?,
            },
        })
    }
}

/// The gauges of one budget; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct BudgetMetrics {
    used: IntGauge,
    limit: IntGauge,
}

impl BudgetMetrics {
    /// Sets the limit.
    pub fn limit(&self, bytes: usize) {
        self.limit.set(signed(bytes));
    }

    pub fn taken(&self, bytes: usize) {
        self.used.add(signed(bytes));
    }

    pub fn given_back(&self, bytes: usize) {
        self.used.sub(signed(bytes));
    }

    pub fn in_use(&self) -> MemoryUse {
        MemoryUse {
            used: u64::try_from(self.used.get()).unwrap_or(0),
            limit: u64::try_from(self.limit.get()).unwrap_or(0),
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
