//! Names of streams, buckets and subjects.

use pointstream_reconstruction::model::Metadata;
use uuid::Uuid;

use super::wire::{NodeId, PROTOCOL};
use crate::ids::SessionId;

/// The names of one installation.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

/// Nodes and gateways with the same one understand each other's jobs: it has the protocol's version and the
/// digest of the model. Fits into a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelKey(String);

impl ModelKey {
    pub fn of(model: &Metadata) -> Self {
        let digest = model
            .digest
            .strip_prefix("sha256:")
            .unwrap_or(&model.digest);
        let digest: String = digest
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(16)
            .collect();
        Self(format!("v{PROTOCOL}-{digest}"))
    }
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The stream of assignments.
    pub fn jobs(&self) -> String {
        format!("{}_jobs", self.prefix)
    }

    pub fn all_jobs(&self) -> String {
        format!("{}.jobs.>", self.prefix)
    }

    /// The subject of the assignments of a node.
    pub fn jobs_of(&self, model: &ModelKey, node: NodeId) -> String {
        format!("{}.jobs.{}.{node}", self.prefix, model.0)
    }

    /// The subjects of the assignments of all nodes with this model.
    pub fn jobs_of_all(&self, model: &ModelKey) -> String {
        format!("{}.jobs.{}.*", self.prefix, model.0)
    }

    /// The node of a subject of assignments.
    pub fn node_of_subject(subject: &str) -> Option<NodeId> {
        subject.rsplit('.').next()?.parse().ok()
    }

    /// The consumer of the assignments of a node.
    pub fn consumer_of(model: &ModelKey, node: NodeId) -> String {
        format!("{}_{node}", model.0)
    }

    /// The node of a consumer of this model's assignments.
    pub fn node_of_consumer(model: &ModelKey, consumer: &str) -> Option<NodeId> {
        let node = consumer.strip_prefix(&model.0)?.strip_prefix('_')?;
        node.parse().ok()
    }

    /// The stream of reports.
    pub fn reports(&self) -> String {
        format!("{}_reports", self.prefix)
    }

    pub fn all_reports(&self) -> String {
        format!("{}.reports.*", self.prefix)
    }

    /// The subject of the reports to a gateway.
    pub fn reports_to(&self, gateway: Uuid) -> String {
        format!("{}.reports.{gateway}", self.prefix)
    }

    /// The consumer of the reports to a gateway.
    pub fn consumer_of_reports(gateway: Uuid) -> String {
        gateway.to_string()
    }

    /// The stream of assignments that failed too often.
    pub fn poison(&self) -> String {
        format!("{}_poison", self.prefix)
    }

    pub fn poison_subject(&self) -> String {
        format!("{}.poison", self.prefix)
    }

    /// The bucket of the nodes that are there.
    pub fn nodes(&self) -> String {
        format!("{}_nodes", self.prefix)
    }

    /// The bucket of assignments that nodes have begun with.
    pub fn begun(&self) -> String {
        format!("{}_begun", self.prefix)
    }

    /// The bucket of blobs.
    pub fn blobs(&self) -> String {
        format!("{}_blobs", self.prefix)
    }

    /// The stream of the journals of sessions.
    pub fn journals(&self) -> String {
        format!("{}_journals", self.prefix)
    }

    pub fn all_journals(&self) -> String {
        format!("{}.journals.*", self.prefix)
    }

    /// The subject of a session's journal.
    pub fn journal_of(&self, session: SessionId) -> String {
        format!("{}.journals.{session}", self.prefix)
    }

    /// The bucket of the files of sessions.
    pub fn session_files(&self) -> String {
        format!("{}_session_files", self.prefix)
    }

    /// The bucket of which gateway has which session.
    pub fn owners(&self) -> String {
        format!("{}_owners", self.prefix)
    }

    /// The bucket of the gateways that are there.
    pub fn gateways(&self) -> String {
        format!("{}_gateways", self.prefix)
    }

    /// The bucket of what only gateways know.
    pub fn secrets(&self) -> String {
        format!("{}_secrets", self.prefix)
    }

    /// The subject of progress to a gateway.
    pub fn progress_to(&self, gateway: Uuid) -> String {
        format!("{}.progress.{gateway}", self.prefix)
    }

    /// The subject of what all nodes are told.
    pub fn control(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// The subject on which a node is asked to restart one of its workers.
    pub fn restart(&self, node: NodeId) -> String {
        format!("{}.restart.{node}", self.prefix)
    }

    /// The subject on which a node asks whether it is welcome.
    pub fn join(&self) -> String {
        format!("{}.join", self.prefix)
    }
}
