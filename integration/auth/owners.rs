//! A session belongs to the name of the token that created it.

use crate::support::client::Client;
use crate::support::pictures::photo;
use crate::support::rest::{self, FORM, form};
use crate::support::server::Server;
use crate::support::tokens::{Tokens, create, with_token};
use crate::support::until;

/// What a session has, below its path.
const PARTS: [(&str, &str); 6] = [
    ("GET", ""),
    ("GET", "/result"),
    ("HEAD", "/result"),
    ("GET", "/images"),
    ("GET", "/images/0/thumbnail"),
    ("DELETE", ""),
];
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn the_session_of_another_one_does_not_exist() {
    let tokens = Tokens::new();
    let owner = tokens.add("owner", "create,use").await;
    let stranger = tokens.add("stranger", "create,use").await;
    let server = tokens.server(&[]).await;
    let (session, own) = create(&server, &owner).await;
    let (_, others) = create(&server, &stranger).await;
    let mut client = Client::with_token(&server, &session, &owner).await;
    client.upload("a.png", &photo(0)).await;
    client.generate(true).await;
    client.result("delta").await;

    for token in [&stranger, &others] {
        for (method, part) in PARTS {
            let ask = async |session: &str| {
                let path = format!("/ws/session/{session}{part}");
                with_token(&server, token, method, &path).await
            };
            let (found, missing) = (ask(&session).await, ask(NOBODYS).await);
            assert_eq!(found.status, 404, "{method} {part}");
            assert_eq!((found.status, found.body), (missing.status, missing.body));
        }
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        let mut ends = Vec::new();
        for session in [&*session, NOBODYS] {
            let address = server.socket(session);
            let (mut client, _) = Client::with_headers(&address, session, &headers).await;
            ends.push(client.closed().await);
        }
        assert_eq!(ends[0].1.code, Some(4404));
        assert_eq!(ends[0], ends[1]);
    }
    // Its owner has it, with either token.
    client.expect_quiet().await;
    for token in [&owner, &own] {
        for (method, part) in PARTS.into_iter().filter(|(method, _)| *method != "DELETE") {
            let path = format!("/ws/session/{session}{part}");
            let reply = with_token(&server, token, method, &path).await;
            assert_eq!(reply.status, 200, "{method} {part}");
        }
    }
    let path = format!("/ws/session/{session}");
    assert_eq!(with_token(&server, &own, "DELETE", &path).await.status, 200);
}

#[tokio::test]
async fn a_list_has_the_callers_own_sessions_and_for_operators_all() {
    let tokens = Tokens::new();
    let one = tokens.add("one", "create,use").await;
    let two = tokens.add("two", "create,use").await;
    let operator = tokens.add("operator", "operate").await;
    let server = tokens.server(&[]).await;
    let (first, first_token) = create(&server, &one).await;
    let (second, _) = create(&server, &one).await;
    let (third, _) = create(&server, &two).await;
    let listed = async |token: &str| {
        let list = with_token(&server, token, "GET", "/ws/sessions")
            .await
            .json();
        let sessions = list["sessions"].as_array().expect("a list");
        assert_eq!(list["stats"]["total_sessions"], sessions.len());
        let id = |one: &serde_json::Value| one["session_id"].as_str().expect("text").to_owned();
        sessions.iter().map(id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&one).await, [&*first, &*second]);
    assert_eq!(listed(&two).await, [&*third]);
    assert_eq!(listed(&first_token).await, [&*first]);
    assert_eq!(listed(&operator).await, [&*first, &*second, &*third]);
}

#[tokio::test]
async fn operators_manage_all_sessions_but_do_not_see_their_content() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use").await;
    let operator = tokens.add("operator", "operate,use").await;
    let server = tokens.server(&[]).await;
    let (session, _) = create(&server, &user).await;
    let path = format!("/ws/session/{session}");
    assert_eq!(
        with_token(&server, &operator, "GET", &path).await.status,
        200
    );
    for part in ["/images", "/result", "/images/0/thumbnail"] {
        let reply = with_token(&server, &operator, "GET", &format!("{path}{part}")).await;
        assert_eq!(reply.status, 404, "{part}");
    }
    assert_eq!(
        with_token(&server, &operator, "DELETE", &path).await.status,
        200
    );
    assert_eq!(with_token(&server, &user, "GET", &path).await.status, 404);
}

#[tokio::test]
async fn the_token_of_a_session_creates_none() {
    let tokens = Tokens::new();
    let user = tokens.add("user", "create,use,operate").await;
    let server = tokens.server(&[]).await;
    let (_, own) = create(&server, &user).await;
    let reply = with_token(&server, &own, "POST", "/ws/session/create").await;
    assert_eq!(reply.status, 403);
    assert!(reply.detail().contains("create"), "{}", reply.detail());
    assert_eq!(
        with_token(&server, &own, "GET", "/actors").await.status,
        403
    );
}

#[tokio::test]
async fn a_token_has_a_limit_of_sessions() {
    let tokens = Tokens::new();
    let few = tokens.add_with(&["few", "--max-sessions", "2"]).await;
    let many = tokens.add("many", "create,use").await;
    let server = tokens.server(&["--max-sessions-per-address", "1"]).await;
    let (first, _) = create(&server, &few).await;
    create(&server, &few).await;
    let reply = with_token(&server, &few, "POST", "/ws/session/create").await;
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert!(reply.detail().contains('2'), "{}", reply.detail());
    for _ in 0..3 {
        create(&server, &many).await;
    }
    let path = format!("/ws/session/{first}");
    assert_eq!(with_token(&server, &few, "DELETE", &path).await.status, 200);
    create(&server, &few).await;
}

#[tokio::test]
async fn a_token_has_a_limit_of_points() {
    let tokens = Tokens::new();
    let few = tokens.add_with(&["few", "--max-points", "50"]).await;
    let many = tokens.add("many", "create,use").await;
    let server = tokens.server(&[]).await;
    let path = "/ws/session/create?num_max_points=51";
    let reply = with_token(&server, &few, "POST", path).await;
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.detail().contains("50"), "{}", reply.detail());
    assert_eq!(with_token(&server, &many, "POST", path).await.status, 200);
    // Who asks for no number gets as many as the token may have.
    let (session, _) = create(&server, &few).await;
    let path = format!("/ws/session/{session}");
    let info = with_token(&server, &few, "GET", &path).await.json();
    assert_eq!(info["config"]["num_max_points"], 50, "{info}");
    let again = format!("{path}/rerun?num_max_points=51");
    assert_eq!(with_token(&server, &few, "POST", &again).await.status, 422);
    // With fewer points than before, who asks for no number gets these.
    tokens.revoke("few").await;
    let fewer = tokens.add_with(&["few", "--max-points", "20"]).await;
    let again = format!("{path}/rerun");
    let created = until("the new token", async || {
        let reply = with_token(&server, &fewer, "POST", &again).await;
        (reply.status == 200).then(|| reply.json())
    })
    .await;
    assert_eq!(created["config"]["num_max_points"], 20, "{created}");
    points_of_one_request_are_limited(&server, &fewer, 20).await;
}

/// `POST /reconstruct` gives at most so many points, and refuses to give more.
pub async fn points_of_one_request_are_limited(server: &Server, token: &str, limit: u64) {
    let (first, second) = (photo(0), photo(1));
    let parts = [("images", None, &first[..]), ("images", None, &second[..])];
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", FORM), ("authorization", &*bearer)];
    let ask = async |query: &str| {
        let url = format!(
            "{}/reconstruct?process_res=56&format=json{query}",
            server.base()
        );
        rest::request_with("POST", &url, &headers, form(&parts)).await
    };
    let refused = ask(&format!("&num_max_points={}", limit + 1)).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.detail().contains(&limit.to_string()));
    let answered = ask("").await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let points = answered.json()["metadata"]["num_points"].as_u64();
    assert_eq!(points, Some(limit));
}

#[tokio::test]
async fn an_owner_has_as_many_workers_as_it_may() {
    let tokens = Tokens::new();
    let many = tokens.add("many", "create,use").await;
    let one = tokens.add("one", "create,use").await;
    let operator = tokens.add("operator", "operate").await;
    let limit = ["--max-jobs-per-client", "1", "--workers-per-device", "2"];
    let server = tokens.server_with_model("slow", &limit).await;
    until("two workers", async || {
        let ready = server.get("/readyz").await.json();
        (ready["ready_workers"] == 2).then_some(())
    })
    .await;
    // The sessions for which a worker runs the model.
    let running = async || {
        let tree = with_token(&server, &operator, "GET", "/actors")
            .await
            .json();
        let children = tree["children"].as_array().expect("a list");
        let pool = children.iter().find(|child| child["kind"] == "pool");
        let workers = pool.expect("a pool")["children"]
            .as_array()
            .expect("a list")
            .clone();
        let jobs = workers.iter().map(|worker| &worker["current_job"]);
        let jobs = jobs.filter(|job| job["kind"] == "reconstruct");
        let sessions = jobs.filter_map(|job| job["session_id"].as_str().map(str::to_owned));
        sessions.collect::<Vec<_>>()
    };
    let mut clients = Vec::new();
    for owner in [&many, &many, &one] {
        let (session, _) = create(&server, owner).await;
        let mut client = Client::with_token(&server, &session, owner).await;
        for index in 0..2 {
            client.upload("a.png", &photo(index)).await;
        }
        clients.push(client);
    }
    let [first, second, other] = &mut clients[..] else {
        panic!("three clients");
    };
    first.generate(true).await;
    second.generate(true).await;
    until("the first job", async || {
        (running().await.len() == 1).then_some(())
    })
    .await;
    other.generate(true).await;
    let both = until("two jobs", async || {
        let running = running().await;
        (running.len() == 2).then_some(running)
    });
    assert!(
        both.await.contains(&other.session),
        "the second worker is for others"
    );
    for client in &mut clients {
        client.result("delta").await;
    }
}
