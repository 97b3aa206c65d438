//! Makes the calls of a scenario, and compares what they give.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, FutureExt as _};
use pointstream_client::{
    Attach, Client, ClientOptions, Cloud, Deltas, Error, Event, Image, KnownCamera, Retry, Scene,
    Session, SessionOptions, SocketOptions,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::scripted::{Departure, Scenario};

/// Waits a while for something.
pub async fn until(reached: impl Fn() -> bool) {
    for _ in 0..100 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a call has ended with: what it gives, or an error of the client.
type Outcome = Result<Result<Value, Error>, Departure>;

#[derive(Clone)]
pub struct Caller {
    script: Value,
    scenario: Arc<Mutex<Scenario>>,
}

impl Caller {
    pub fn new(script: &Value, scenario: Arc<Mutex<Scenario>>) -> Self {
        Self {
            script: script.clone(),
            scenario,
        }
    }

    pub async fn play(&self, url: &str) -> Result<(), Departure> {
        let session = match (self.open(url).await, &self.script["open_error"]) {
            (Ok(session), Value::Null) => session,
            (Ok(_), error) => return Err(format!("opening must fail: {error}")),
            (Err(error), Value::Null) => return Err(format!("opening fails: {error}")),
            (Err(error), expected) => return check_error(expected, &error),
        };
        let secret = self.script["webhook_secret"].as_str();
        if secret.is_some() && secret != session.webhook_secret() {
            return Err(format!("the secret is {:?}", session.webhook_secret()));
        }
        for call in self.script["calls"].as_array().into_iter().flatten() {
            self.call(&session, call).await?;
        }
        if self.script["keep"] == true || !self.script["attach"].is_null() {
            session.close().await;
            return Ok(());
        }
        session
            .delete()
            .await
            .map_err(|error| format!("deleting fails: {error}"))
    }

    async fn open(&self, url: &str) -> Result<Session, Error> {
        let attempts = self.script["retry"]["attempts"].as_u64().unwrap_or(6);
        let options = ClientOptions {
            timeout: Duration::from_secs(10),
            retry: Retry {
                attempts: u32::try_from(attempts).unwrap(),
                first: Duration::from_millis(20),
                longest: Duration::from_secs(5),
            },
            ..ClientOptions::default()
        };
        let mut client = Client::with_options(url, options)?;
        if let Some(token) = self.script["token"].as_str() {
            client = client.token(token);
        }
        let given = &self.script["session"];
        let mut options = SessionOptions {
            parameters: parsed(&given["parameters"], "{}"),
            webhook: serde_json::from_value(given["webhook"].clone()).unwrap(),
            socket: parsed::<SocketOptions>(&given["options"], "{}"),
        };
        if given["options"]["binary"].is_null() {
            options.socket.binary = false;
        }
        options.socket.deltas.get_or_insert(Deltas::Cumulative);
        let attach = &self.script["attach"];
        let Some(session_id) = attach["session_id"].as_str() else {
            return client.create(options).await;
        };
        let mut session = Attach::new(session_id).socket(options.socket);
        if let Some(token) = attach["token"].as_str() {
            session = session.token(token);
        }
        client.attach(session).await
    }

    fn call<'a>(
        &'a self,
        session: &'a Session,
        call: &'a Value,
    ) -> BoxFuture<'a, Result<(), Departure>> {
        async move {
            let expected = (&call["error"], &call["gives"]);
            match (self.outcome(session, call).await?, expected) {
                (Ok(_), (Value::Null, Value::Null)) => Ok(()),
                (Ok(found), (Value::Null, gives)) => {
                    match self.scenario.lock().unwrap().matches(gives, &found) {
                        true => Ok(()),
                        false => Err(format!("it gives {found}, not {gives}")),
                    }
                }
                (Ok(_), (error, _)) => Err(format!("it must fail: {error}")),
                (Err(error), (Value::Null, _)) => Err(format!("{call} fails: {error}")),
                (Err(error), (expected, _)) => check_error(expected, &error),
            }
        }
        .boxed()
    }

    async fn outcome(&self, session: &Session, call: &Value) -> Outcome {
        let has = |name: &str| !call[name].is_null();
        Ok(if has("cancel_after") {
            cancelled(session).await?
        } else if has("upload") {
            let ack = session.upload(image(&call["upload"])).await;
            ack.map(|ack| json!(ack))
        } else if has("upload_many") {
            let images = call["upload_many"].as_array().unwrap().iter().map(image);
            session
                .upload_many(images)
                .await
                .map(|all| all.iter().map(uploaded).collect())
        } else if has("generate") {
            match call["generate"]["incremental"] == true {
                true => session.generate().await,
                false => session.generate_whole().await,
            }
            .map(|scene| fields(&scene))
        } else if has("finalize") {
            session.finalize().await.map(|scene| fields(&scene))
        } else if has("map") {
            session.map().await.map(|poses| json!(poses))
        } else if has("cloud") {
            check_cloud(&session.cloud(), &call["cloud"])?;
            Ok(Value::Null)
        } else if has("together") {
            self.together(session, call["together"].as_array().unwrap())
                .await?;
            Ok(Value::Null)
        } else {
            return Err(format!("unknown call {call}"));
        })
    }

    /// Calls at the same time; the next one begins when the message of the one before has come.
    async fn together(&self, session: &Session, calls: &[Value]) -> Result<(), Departure> {
        let mut running = JoinSet::new();
        for call in calls {
            let messages = || self.scenario.lock().unwrap().messages;
            let before = messages();
            let (caller, session, call) = (self.clone(), session.clone(), call.clone());
            running.spawn(async move { caller.call(&session, &call).await });
            until(|| messages() > before).await;
        }
        while let Some(done) = running.join_next().await {
            done.unwrap()?;
        }
        Ok(())
    }
}

/// A request that is cancelled when its first progress has come.
async fn cancelled(session: &Session) -> Outcome {
    let mut events = session.events();
    let cancel = async {
        loop {
            match events.next().await {
                Some(Ok(Event::Progress(_))) => break,
                Some(Ok(_)) => {}
                _ => return Err("the session has ended".to_owned()),
            }
        }
        match session.cancel() {
            Ok(true) => Ok(()),
            other => Err(format!("there is nothing to cancel: {other:?}")),
        }
    };
    let (scene, cancelled) = tokio::join!(session.generate(), cancel);
    cancelled.map(|()| scene.map(|scene| fields(&scene)))
}

fn parsed<T: serde::de::DeserializeOwned>(given: &Value, default: &str) -> T {
    let given = match given {
        Value::Null => serde_json::from_str(default).unwrap(),
        given => given.clone(),
    };
    serde_json::from_value(given).unwrap()
}

fn image(given: &Value) -> Image {
    let data = STANDARD
        .decode(given["data_base64"].as_str().unwrap())
        .unwrap();
    let image = Image::bytes(data).name(given["name"].as_str().unwrap());
    match &given["intrinsics"] {
        Value::Null => image,
        intrinsics => image.camera(KnownCamera {
            position_deviation: given["position_deviation"].as_f64(),
            rotation_deviation: given["rotation_deviation"].as_f64(),
            ..KnownCamera::new(parsed(intrinsics, ""), parsed(&given["extrinsics"], ""))
        }),
    }
}

fn uploaded(answer: &Result<pointstream_client::Ack, Error>) -> Value {
    match answer {
        Ok(ack) => json!(ack),
        Err(error) => json!({"error": {"kind": kind(error), "code": error.code()}}),
    }
}

fn fields(scene: &Scene) -> Value {
    let quality = scene.quality().ok();
    json!({
        "kind": scene.kind, "image_count": scene.image_count, "number": scene.number,
        "glb_base64": STANDARD.encode(&scene.glb), "verdict": quality.map(|one| one.verdict),
    })
}

fn check_cloud(cloud: &Cloud, expected: &Value) -> Result<(), Departure> {
    let cameras: Vec<u64> = cloud.cameras().map(|camera| camera.number).collect();
    let centers: Vec<[f64; 3]> = cloud.cameras().map(|camera| camera.center()).collect();
    let found = json!({
        "positions": cloud.positions(), "colors": cloud.colors(), "cameras": cameras, "centers": centers,
    });
    let same = Scenario::new(&Value::Null).matches(expected, &found);
    match same && cloud.len() == cloud.positions().len() {
        true => Ok(()),
        false => Err(format!("the cloud is {found}")),
    }
}

fn check_error(expected: &Value, error: &Error) -> Result<(), Departure> {
    let mut found = json!({"kind": kind(error), "code": error.code()});
    if let Some(refusal) = error.refusal() {
        found["status"] = json!(refusal.status);
        found["retry_after"] = json!(refusal.retry_after.map(|after| after.as_secs()));
        found["filename"] = json!(refusal.filename);
        // It says what the server said, the code, and what would work.
        let told = format!("{refusal}; ");
        if !error.to_string().starts_with(&told) || error.to_string().len() == told.len() {
            return Err(format!("it says: {error}"));
        }
    }
    match Scenario::new(&Value::Null).matches(expected, &found) {
        true => Ok(()),
        false => Err(format!("the error is {found}, not {expected}")),
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Authentication(_) => "authentication",
        Error::Busy(_) => "busy",
        Error::Cancelled(_) => "cancelled",
        Error::ConnectionLost { .. } => "connection_lost",
        Error::ImageRefused(_) => "image_refused",
        Error::IncompatibleServer { .. } => "incompatible_server",
        Error::InvalidRequest(_) => "invalid_request",
        Error::InvalidResponse(_) => "invalid_response",
        Error::Reconstruction(_) => "reconstruction",
        Error::Server(_) => "server",
        Error::SessionEnded(_) => "session_ended",
        Error::SessionNotFound(_) => "session_not_found",
        _ => "another",
    }
}
