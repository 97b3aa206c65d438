//! WebSockets and the messages on them.

use pointstream_actors::ClientMessageKind;
use prometheus::core::Collector;
use prometheus::{
    IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};
use strum::VariantArray;

use super::network::OpenGauge;
use crate::ws::outgoing::SentKind;

const RECEIVED: &str = "received";
const SENT: &str = "sent";

/// Sockets and their messages.
#[derive(Debug)]
pub struct SocketMetrics {
    open: IntGauge,
    messages: IntCounterVec,
}

impl SocketMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let messages = register_int_counter_vec_with_registry!(
            "pointstream_messages_total",
            "Messages on WebSockets by direction, seen from the server, and type.",
            &["direction", "type"],
            registry
        )?;
        for kind in ClientMessageKind::VARIANTS {
            messages.with_label_values(&[RECEIVED, kind.into()]);
        }
        for kind in SentKind::all() {
            messages.with_label_values(&[SENT, kind.name()]);
        }
        Ok(Self {
            open: register_int_gauge_with_registry!(
                "pointstream_websockets",
                "Open WebSockets.",
                registry
            )?,
            messages,
        })
    }

    /// Counts a socket as open until the value is dropped.
    #[must_use]
    pub fn opened(&self) -> OpenGauge {
        OpenGauge::new(&self.open)
    }

    /// Open sockets.
    pub fn open(&self) -> u64 {
        u64::try_from(self.open.get()).unwrap_or(0)
    }

    /// Counts a message from a client.
    pub fn received(&self, kind: ClientMessageKind) {
        self.messages
            .with_label_values(&[RECEIVED, kind.into()])
            .inc();
    }

    /// Counts a message to a client.
    pub fn sent(&self, kind: SentKind) {
        self.messages.with_label_values(&[SENT, kind.name()]).inc();
    }

    /// Messages from clients since the start.
    pub fn messages_received(&self) -> u64 {
        self.sum(RECEIVED)
    }

    /// Messages to clients since the start.
    pub fn messages_sent(&self) -> u64 {
        self.sum(SENT)
    }

    fn sum(&self, direction: &str) -> u64 {
        let families = self.messages.collect();
        families
            .iter()
            .flat_map(|family| family.get_metric())
            .filter(|metric| {
                let mut labels = metric.get_label().iter();
                labels.any(|label| label.value() == direction)
            })
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::outgoing::ServerMessageKind;

    #[test]
    fn each_direction_has_its_count() {
        let metrics = SocketMetrics::new(&Registry::new()).expect("valid metrics");
        metrics.received(ClientMessageKind::Image);
        metrics.received(ClientMessageKind::Ping);
        metrics.sent(SentKind::Message(ServerMessageKind::Ack));
        assert_eq!(
            (metrics.messages_received(), metrics.messages_sent()),
            (2, 1)
        );
    }
}
