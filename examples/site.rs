//! A downstream site in one file: it shows what is live, exactly once, whatever breaks in between. It uses `onrecord::client` and
//! nothing else of the crate.
//!
//! ```sh
//! cargo run --example site -- http://127.0.0.1:7400 site.json                the whole feed
//! cargo run --example site -- http://127.0.0.1:7400 site.json press-site     as subscriptions/press-site, and says what it has applied
//! ```
//!
//! Where the service has TLS and a policy, `ONRECORD_CA_FILE` names the authority (PEM) and `ONRECORD_TOKEN_FILE` the token, and the address begins
//! with `https://`.
//!
//! `site.json` holds the pages and the position after them, replaced together: the effect and where to go on are there or neither is.

#![allow(clippy::print_stderr, reason = "a program for people")]

use std::{collections::BTreeMap, env, fs, io, path::PathBuf};

use onrecord::{
    api::v1::{Delivery, Live, Snapshot, delivery::FilterChange, event, live},
    client::{Begin, Credentials, Follower, Options, Position, Site, Wanted, channel, replace_file, tls_channel},
};
use serde::{Deserialize, Serialize};

/// What the site shows of a statement in one language.
#[derive(Debug, Serialize, Deserialize)]
struct Page {
    edition: String,
    state: String,
    title: String,
    /// What readers are told beside the text: that it was withdrawn, and why.
    notice: String,
    sequence: u64,
}

/// All that is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Held {
    position: Option<Position>,
    /// By `statements/{statement}/{language}`.
    pages: BTreeMap<String, Page>,
    /// How many deliveries were applied, ever: without a filter and from the beginning, as many as there are events.
    applied: u64,
}

struct Pages {
    file: PathBuf,
    held: Held,
}

impl Pages {
    fn open(file: PathBuf) -> io::Result<Self> {
        let held = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Held::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { file, held })
    }

    fn show(&mut self, key: String, live: Option<Live>) {
        let Some(live) = live.filter(is_shown) else {
            self.held.pages.remove(&key);
            return;
        };
        let state = live.state().as_str_name().to_owned();
        let edition = live.edition.unwrap_or_default();
        let page = Page {
            edition: edition.name,
            state,
            title: edition.content.map(|content| content.title).unwrap_or_default(),
            notice: live.notice.map(|notice| notice.text).unwrap_or_default(),
            sequence: live.sequence,
        };
        self.held.pages.insert(key, page);
    }
}

fn is_shown(live: &Live) -> bool {
    matches!(live.state(), live::State::Published | live::State::Withdrawn)
}

impl Site for Pages {
    type Error = io::Error;

    fn position(&self) -> Option<Position> {
        self.held.position.clone()
    }

    async fn replace(&mut self, snapshot: Snapshot, position: Position) -> io::Result<()> {
        self.held.pages.clear();
        for live in snapshot.live {
            self.show(format!("{}/{}", live.statement, live.language_code), Some(live));
        }
        self.advance(position).await
    }

    async fn apply(&mut self, deliveries: Vec<Delivery>, position: Position) -> io::Result<()> {
        for delivery in deliveries {
            let filter_change = delivery.filter_change();
            let event = delivery.event.unwrap_or_default();
            self.held.applied += 1;
            if matches!(event.r#type(), event::Type::Embargoed | event::Type::EmbargoCancelled) {
                // This site asks for no texts under embargo.
                continue;
            }
            if event.r#type() == event::Type::Unspecified && event.live.is_none() && filter_change != FilterChange::Left
            {
                // A type of a later version, about something else than what is live.
                continue;
            }
            let key = format!("{}/{}", event.statement, event.language_code);
            self.show(key, event.live.filter(|_| filter_change != FilterChange::Left));
        }
        self.advance(position).await
    }

    async fn advance(&mut self, position: Position) -> io::Result<()> {
        self.held.position = Some(position);
        Ok(())
    }

    async fn keep(&mut self) -> io::Result<()> {
        replace_file(&self.file, &serde_json::to_vec_pretty(&self.held)?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, file, name @ ..] = arguments.as_slice() else { return Err("usage: site URL FILE [NAME]".into()) };
    let mut options = match name.first() {
        Some(name) => Options::wanting(Wanted::Named(format!("subscriptions/{name}"))),
        None => Options::all(),
    };
    options.begin = Begin::Beginning;
    options.credentials = match env::var("ONRECORD_TOKEN_FILE") {
        Ok(file) => Credentials::token_file(file)?,
        // Believed where the service runs with --insecure.
        Err(_) => Credentials::stated("site")?,
    };
    let channel = match env::var("ONRECORD_CA_FILE") {
        Ok(file) => tls_channel(url, &fs::read(file)?)?,
        Err(_) => channel(url)?,
    };
    let mut follower = Follower::new(channel, options, Pages::open(file.into())?);
    let mut state = follower.state();
    tokio::spawn(async move {
        while state.changed().await.is_ok() {
            eprintln!("{:?}", *state.borrow_and_update());
        }
    });
    follower.run().await.map_err(|error| error.to_string().into())
}
