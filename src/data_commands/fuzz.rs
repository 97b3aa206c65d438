//! Fuzzing of archives of sessions.

use std::fs;
use std::path::Path;

use pointstream_actors::SessionId;
use pointstream_fuzzing::{Corpus, Unstructured, arbitrary, fuzz, fuzz_values};
use tempfile::TempDir;

use super::*;

/// The session of the archives.
const SESSION: &str = "11111111-2222-4333-8444-555555555555";
/// A session that is there already.
const OTHER: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const CANARY: &[u8] = b"of another session";

/// A data directory with one session, in a folder with a file and room for archives.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        let other = place.sessions().join(OTHER);
        fs::create_dir_all(&other).expect("made");
        fs::write(place.data().join("pointstream-data"), "1").expect("written");
        for file in place.kept() {
            fs::write(file, CANARY).expect("written");
        }
        place
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn sessions(&self) -> PathBuf {
        self.data().join("sessions")
    }

    fn kept(&self) -> [PathBuf; 3] {
        [
            self.sessions().join(OTHER).join("journal.sqlite"),
            self.data().join("session-tokens.key"),
            self.0.path().join("outside"),
        ]
    }

    /// Imports an archive that has no whole session, and checks that nothing comes of it.
    fn refuses(&self, content: &[u8]) {
        let archive = self.0.path().join("archive.tar");
        fs::write(&archive, content).expect("written");
        let error = import(&self.data(), &archive).expect_err("no journal in it is one");
        assert!(!error.to_string().is_empty());
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).expect("a folder");
            let mut names: Vec<_> = entries
                .map(|entry| {
                    entry
                        .expect("listed")
                        .file_name()
                        .to_string_lossy()
                        .into_owned()
                })
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.sessions()), [OTHER], "{error}");
        assert_eq!(
            names(&self.sessions().join(OTHER)),
            ["journal.sqlite"],
            "{error}"
        );
        assert_eq!(
            names(self.0.path()),
            ["archive.tar", "data", "outside"],
            "{error}"
        );
        for file in self.kept() {
            assert_eq!(fs::read(&file).expect("there"), CANARY, "{error}");
        }
    }
}

/// An entry of an archive.
#[derive(Debug, Clone)]
struct Member {
    path: String,
    kind: u8,
    link: String,
    content: Vec<u8>,
}

fn member(random: &mut Unstructured<'_>) -> arbitrary::Result<Member> {
    let upper = OTHER.to_uppercase();
    let bare = SESSION.replace('-', "");
    let braced = format!("{{{SESSION}}}");
    let roots = [
        SESSION, SESSION, SESSION, SESSION, OTHER, &upper, &bare, &braced, "..", ".", "", "/tmp",
    ];
    let root = *random.choose(&roots)?;
    let below = *random.choose(&[
        "",
        "/",
        "/journal.sqlite",
        "/journal.sqlite",
        "/1.image",
        "/sub",
        "/sub/file",
        "/../x",
        "/./y",
        "/..",
        "//z",
        "/\u{e9}",
    ])?;
    let targets = [
        OTHER.to_owned(),
        format!("{OTHER}/journal.sqlite"),
        format!("../{OTHER}"),
        "../../outside".to_owned(),
        "/etc/passwd".to_owned(),
        format!("{SESSION}/1.image"),
    ];
    let kinds = b"00005555123467LKxgS\0";
    Ok(Member {
        path: format!("{root}{below}"),
        kind: *random.choose(kinds)?,
        link: random.choose(&targets)?.clone(),
        content: match random.int_in_range(0..=2)? {
            0 => random.arbitrary()?,
            1 => format!("{OTHER}/journal.sqlite\0").into_bytes(),
            // A record of the PAX format, which gives the next entry another name.
            _ => format!("{} path={OTHER}/journal.sqlite\n", OTHER.len() + 24).into_bytes(),
        },
    })
}

/// The archive, also with what a careful writer refuses.
fn written(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        let mut header = tar::Header::new_gnu();
        let fill = |field: &mut [u8], text: &str| {
            let text = &text.as_bytes()[..text.len().min(field.len())];
            field[..text.len()].copy_from_slice(text);
        };
        fill(&mut header.as_old_mut().name, &member.path);
        fill(&mut header.as_old_mut().linkname, &member.link);
        header.as_old_mut().linkflag = [member.kind];
        header.set_size(member.content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&member.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn plain(path: &str, content: &[u8]) -> Member {
    Member {
        path: format!("{SESSION}{path}"),
        kind: if path.is_empty() { b'5' } else { b'0' },
        link: String::new(),
        content: content.to_vec(),
    }
}

#[test]
fn archives_with_any_entries() {
    let place = Place::new();
    let make = |random: &mut Unstructured<'_>| {
        let count = random.int_in_range(0..=5)?;
        (0..count)
            .map(|_| member(random))
            .collect::<arbitrary::Result<Vec<_>>>()
    };
    fuzz_values("archives with any entries", make, |members| {
        place.refuses(&written(members));
    });
}

#[test]
fn damaged_archives() {
    let place = Place::new();
    let corpus = Corpus::of([
        written(&[
            plain("", b""),
            plain("/journal.sqlite", b"no journal"),
            plain("/1.image", &[1; 700]),
        ]),
        written(&[]),
    ]);
    let words = [
        "ustar",
        "\0\0\0\0",
        "7777777777777",
        "\u{80}\u{ff}",
        SESSION,
        "../",
    ];
    fuzz("damaged archives", &corpus.with_words(words), |input| {
        place.refuses(input);
    });
}

#[test]
fn a_link_in_place_of_the_folder_does_not_reach_another_session() {
    let place = Place::new();
    for link in [OTHER, &format!("../sessions/{OTHER}"), "/etc"] {
        for kind in [b'1', b'2'] {
            let folder = Member {
                kind,
                link: link.to_owned(),
                ..plain("", b"")
            };
            place.refuses(&written(&[
                folder,
                plain("/journal.sqlite", b"overwritten"),
            ]));
        }
    }
}

#[test]
fn another_spelling_of_the_folder_is_refused() {
    let place = Place::new();
    for name in [
        SESSION.replace('-', ""),
        format!("{{{SESSION}}}"),
        OTHER.to_uppercase(),
    ] {
        assert!(SessionId::try_parse(&name).is_ok());
        let file = Member {
            path: format!("{name}/journal.sqlite"),
            ..plain("/", b"no journal")
        };
        place.refuses(&written(&[file]));
    }
}
