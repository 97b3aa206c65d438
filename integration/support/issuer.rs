//! An issuer of signed tokens, with its keys behind HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::EncodePrivateKey as _;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A key pair.
pub struct Key {
    pub id: String,
    pub algorithm: Algorithm,
    private: EncodingKey,
    /// The public key as a JWK.
    pub public: Value,
}

impl Key {
    /// A key on the curve P-256.
    pub fn elliptic(id: &str) -> Self {
        let secret = p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
        let der = secret.to_pkcs8_der().expect("a key");
        let point = secret.public_key().to_encoded_point(false);
        let coordinate =
            |bytes: Option<&_>| BASE64.encode(bytes.map(AsRef::<[u8]>::as_ref).expect("a point"));
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            private: EncodingKey::from_ec_der(der.as_bytes()),
            public: json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
                "x": coordinate(point.x().map(|one| &**one)),
                "y": coordinate(point.y().map(|one| &**one)),
            }),
        }
    }

    /// An RSA key.
    pub fn rsa(id: &str) -> Self {
        let secret = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).expect("a key");
        let der = secret.to_pkcs1_der().expect("a key");
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_der(der.as_bytes()),
            public: json!({
                "kty": "RSA", "kid": id,
                "n": BASE64.encode(secret.n().to_bytes_be()),
                "e": BASE64.encode(secret.e().to_bytes_be()),
            }),
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        encode(&header, claims, &self.private).expect("a token")
    }
}

/// An issuer that publishes keys.
pub struct Issuer {
    pub url: String,
    published: Arc<Mutex<Published>>,
}

struct Published {
    keys: Value,
    requests: usize,
}

impl Issuer {
    pub const NAME: &str = "https://issuer.test";

    pub async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let published = Arc::new(Mutex::new(Published {
            keys: Value::Null,
            requests: 0,
        }));
        let issuer = Self {
            url: format!("http://{address}/keys"),
            published: published.clone(),
        };
        issuer.publish(keys);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                // One read has the whole head of these small requests.
                let _ = stream.read(&mut head).await;
                let body = {
                    let mut published = published.lock().unwrap_or_else(PoisonError::into_inner);
                    published.requests += 1;
                    published.keys.to_string()
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        issuer
    }

    /// Publishes these keys alone.
    pub fn publish(&self, keys: &[&Key]) {
        let keys: Vec<_> = keys.iter().map(|key| key.public.clone()).collect();
        self.with(|published| published.keys = json!({ "keys": keys }));
    }

    /// How often the keys were asked for.
    pub fn requests(&self) -> usize {
        self.with(|published| published.requests)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Published) -> T) -> T {
        work(
            &mut self
                .published
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
