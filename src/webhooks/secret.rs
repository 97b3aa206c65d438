//! Secrets of webhooks, and signatures.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use pointstream_actors::WebhookSecret;
use sha2::Sha256;
use thiserror::Error;

/// Begins the text of a secret.
const PREFIX: &str = "whsec_";
/// Bytes of a secret.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a secret that the server makes.
const NEW_BYTES: usize = 32;

/// The text is not a secret. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a secret is whsec_ and 24 to 64 bytes in base64")]
pub struct BadSecret;

/// Reads the text of a secret.
///
/// # Errors
/// [`BadSecret`].
pub fn parse(text: &str) -> Result<WebhookSecret, BadSecret> {
    let encoded = text.strip_prefix(PREFIX).ok_or(BadSecret)?;
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| BadSecret)?;
    match BYTES.contains(&bytes.len()) {
        true => Ok(WebhookSecret::new(bytes)),
        false => Err(BadSecret),
    }
}

/// A new secret.
///
/// # Errors
/// If the system gives no random bytes.
pub fn generate() -> Result<WebhookSecret, getrandom::Error> {
    let mut bytes = vec![0; NEW_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(WebhookSecret::new(bytes))
}

/// The text of a secret, for its owner.
pub fn text(secret: &WebhookSecret) -> String {
    format!("{PREFIX}{}", BASE64_STANDARD.encode(secret.reveal()))
}

/// The value of the header `webhook-signature`: one signature for each secret.
pub fn signatures(secrets: &[WebhookSecret], id: &str, timestamp: u64, body: &str) -> String {
    let signed = secrets.iter().filter_map(|secret| {
        // HMAC takes keys of every length.
        let mac = Hmac::<Sha256>::new_from_slice(secret.reveal()).ok()?;
        let mac = mac.chain_update(format!("{id}.{timestamp}.{body}"));
        let encoded = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        Some(format!("v1,{encoded}"))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the libraries of Standard Webhooks.
    #[test]
    fn a_known_message_has_its_known_signature() {
        let secret = parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = r#"{"test": 2432232314}"#;
        let signed = signatures(std::slice::from_ref(&secret), id, 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let twice = signatures(&[secret.clone(), secret], id, 1_614_265_330, body);
        assert_eq!(twice, format!("{signed} {signed}"));
    }

    #[test]
    fn secrets_have_a_size() {
        let made = generate().expect("random");
        assert_eq!(parse(&text(&made)), Ok(made));
        for wrong in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_!!!!",
        ] {
            assert_eq!(parse(wrong), Err(BadSecret), "{wrong}");
        }
    }
}
