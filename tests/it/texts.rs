//! What a text may hold: one table over every string of every request, from the proto's own list of fields, over real gRPC.

mod fields;
mod requests;

use std::collections::BTreeSet;

use bytes::{Buf as _, BufMut as _};
use onrecord::{
    api::v1::{self, subscribe_response::Message},
    domain::{limits::TextLimit, text::is_hidden},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};
use tonic_types::StatusExt as _;

use self::{
    fields::{Leaf, leaves, methods, times},
    requests::{Class, Need, Site, class, classified, right},
};
use crate::{
    command_line::onrecord,
    harness::{Service, Stream, fields as named, from, publish, words},
};

const BLANK: [&str; 10] = [
    " ",
    "\u{a0}\u{3000}",
    "\u{200b}",
    "\u{3164}",
    "\u{115f}\u{1160}",
    "\u{2800}",
    "\u{ad}\u{2060}",
    "\u{e0061}",
    "\u{301}",
    "\u{2067}\u{2069}",
];
const BIDI: [&str; 5] = ["a\u{202e}b", "a\u{2066}b", "a\u{202c}b", "a\u{2069}b", "\u{2067}\u{202b}a\u{2069}b"];
const ILLEGAL: [&str; 9] =
    ["a\u{0}b", "a\u{1}b", "a\u{b}b", "a\u{c}b", "a\u{1b}b", "a\u{fffe}b", "a\u{ffff}b", "a\u{fdd0}b", "a\u{1fffe}b"];
const SEPARATORS: [&str; 6] = ["a\nb", "a\rb", "a\tb", "a\u{85}b", "a\u{2028}b", "a\u{2029}b"];
const RIGHT: [&str; 4] = ["a", "می\u{200c}خواهم", "👩🏽‍🚒 क्षि", "\u{2067}לו\u{2069} b"];

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// A service with a live statement `fire`, and a stream of the subscription `site`.
struct Table {
    service: Service,
    site: Site,
    faults: Vec<String>,
    _stream: Stream,
}

impl Table {
    async fn new() -> Self {
        let service = Service::start().await;
        service.person("author").create("fire", "en").await;
        publish(&service, "fire", "en", words("Fire")).await;
        publish(&service, "fire", "de", words("Feuer")).await;
        let mut site = service.person("site");
        let request = v1::CreateSubscriptionRequest {
            subscription_id: "site".to_owned(),
            subscription: Some(v1::Subscription::default()),
            ..Default::default()
        };
        site.feed.create_subscription(request).await.unwrap();
        let mut stream = site
            .follow(v1::SubscribeRequest {
                subscription: "subscriptions/site".to_owned(),
                ..from(v1::Start::Beginning)
            })
            .await
            .unwrap();
        let Message::Opened(opened) = stream.next().await else { panic!("the stream opens") };
        let request = v1::ReadFeedRequest { start: v1::Start::Beginning.into(), ..Default::default() };
        let read = site.feed.read_feed(request).await.unwrap().into_inner().cursor;
        let site = Site { generation: opened.generation, cursor: opened.cursor, read };
        Self { service, site, faults: Vec::new(), _stream: stream }
    }

    /// A request that is right, but for the text at a leaf.
    fn request(&self, method: &MethodDescriptor, leaf: &Leaf, text: Option<&str>) -> DynamicMessage {
        let request = right(method.name(), &leaf.route(), &self.site);
        let mut request = DynamicMessage::deserialize(method.input(), request).unwrap();
        if let Some(text) = text {
            leaf.set(&mut request, text);
        }
        request
    }

    async fn call(&self, method: &MethodDescriptor, request: &DynamicMessage) -> Result<(), Status> {
        let mut grpc = tonic::client::Grpc::new(self.service.channel.clone());
        grpc.ready().await.unwrap();
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = PathAndQuery::from_maybe_shared(path).unwrap();
        let mut request = Request::new(request.encode_to_vec());
        request.metadata_mut().insert("onrecord-caller", "author".parse().unwrap());
        if method.is_server_streaming() {
            grpc.server_streaming(request, path, Bytes).await.map(drop)
        } else {
            grpc.unary(request, path, Bytes).await.map(drop)
        }
    }

    /// Refused with this reason, on exactly this field, in words that have all of these.
    async fn refuses(&mut self, (method, leaf): (&MethodDescriptor, &Leaf), text: &str, reason: &str, words: &[&str]) {
        let answer = self.call(method, &self.request(method, leaf, Some(text))).await;
        let Err(status) = answer else { return self.fault(method, leaf, text, "is taken") };
        let known = status.get_details_error_info().map(|info| info.reason);
        let right = status.code() == Code::InvalidArgument
            && known.as_deref() == Some(reason)
            && named(&status) == [leaf.path(text)]
            && words.iter().all(|words| status.message().contains(words));
        if !right {
            self.fault(
                method,
                leaf,
                text,
                &format!("{:?} {}, not {reason} {words:?}", status.code(), status.message()),
            );
        }
    }

    /// Whatever else stands against the call, it is not the text.
    async fn takes(&mut self, (method, leaf): (&MethodDescriptor, &Leaf), text: Option<&str>) {
        let answer = self.call(method, &self.request(method, leaf, text)).await;
        if let Err(status) = answer
            && matches!(status.code(), Code::InvalidArgument | Code::Internal | Code::Unknown)
        {
            self.fault(method, leaf, text.unwrap_or("(nothing)"), &format!("{:?} {}", status.code(), status.message()));
        }
    }

    fn fault(&mut self, method: &MethodDescriptor, leaf: &Leaf, text: &str, words: &str) {
        let text: String = text.chars().take(20).collect();
        self.faults.push(format!("{}: {} = {text:?}: {words}", method.name(), leaf.route()));
    }

    /// All faults of the table, not the first.
    fn finish(self) {
        assert!(self.faults.is_empty(), "{} faults:\n{}", self.faults.len(), self.faults.join("\n"));
    }
}

/// Every string that a caller gives, with its class.
fn given() -> Vec<(MethodDescriptor, Leaf, Class)> {
    let mut found = Vec::new();
    for method in methods() {
        for leaf in leaves(&method.input()).into_iter().filter(|leaf| !leaf.is_output()) {
            let known = class(method.name(), &leaf.name(), &leaf.route());
            let known = known.unwrap_or_else(|| panic!("{} has no class: say what it may hold", leaf.name()));
            found.push((method.clone(), leaf, known));
        }
    }
    found
}

#[test]
fn every_string_of_a_request_has_a_class() {
    let given = given();
    let used: BTreeSet<_> = given.iter().map(|(_, leaf, _)| leaf.name()).collect();
    let listed: BTreeSet<_> = classified().map(str::to_owned).collect();
    assert_eq!(listed.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "classes of what is not there");
    assert!(given.len() > 150, "{} strings", given.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_nobody_can_see_or_that_acts_is_refused_with_its_field() {
    let mut table = Table::new().await;
    let newest = *table.service.journal.newest_entry().borrow();
    for (method, leaf, class) in given() {
        let at = (&method, &leaf);
        table.takes(at, None).await;
        let (bad, characters, fine): (Vec<_>, Vec<_>, Vec<_>) = match class {
            Class::Text(..) => (BLANK.to_vec(), [&BIDI[..], &ILLEGAL].concat(), [&RIGHT[..], &SEPARATORS].concat()),
            Class::Line(..) => (BLANK.to_vec(), [&BIDI[..], &ILLEGAL, &SEPARATORS].concat(), RIGHT.to_vec()),
            Class::Token | Class::Sealed(_) => ([&BLANK[..], &BIDI, &ILLEGAL, &SEPARATORS].concat(), vec![], vec![]),
            Class::Ignored => (vec![], vec![], [&BLANK[..], &BIDI].concat()),
        };
        let reason = if let Class::Sealed(reason) = class { reason } else { "INVALID_ARGUMENT" };
        for text in bad {
            table.refuses(at, text, reason, &[]).await;
        }
        for text in characters {
            table.refuses(at, text, reason, &["U+", "at character"]).await;
        }
        for text in fine {
            table.takes(at, Some(text)).await;
        }
        if let Class::Text(Need::Required, _) | Class::Line(Need::Required, _) = class {
            table.refuses(at, "", reason, &[]).await;
        }
    }
    assert_eq!(*table.service.journal.newest_entry().borrow(), newest, "nothing was written");
    table.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_stated_in_the_unit_in_which_it_is_enforced() {
    let mut table = Table::new().await;
    for (method, leaf, class) in given() {
        let (Class::Text(_, limit) | Class::Line(_, limit)) = class else { continue };
        let TextLimit { graphemes, bytes } = limit;
        let comment = leaf.comment();
        assert!(comment.contains(&format!("{} bytes", grouped(bytes))), "{}: {comment}", leaf.name());
        let at = (&method, &leaf);
        table.takes(at, Some(&"a".repeat(graphemes))).await;
        let words = format!("at most {bytes} bytes of UTF-8; it has {}", bytes + 1);
        if graphemes < bytes {
            assert!(
                comment.contains(&format!("{} grapheme clusters", grouped(graphemes))),
                "{}: {comment}",
                leaf.name()
            );
            let many = format!("at most {graphemes} grapheme clusters");
            table.refuses(at, &"a".repeat(graphemes + 1), "INVALID_ARGUMENT", &[&many]).await;
            let long = format!("a{}", "\u{316}".repeat(bytes / 2));
            table.refuses(at, &long, "INVALID_ARGUMENT", &[&words]).await;
        } else {
            table.refuses(at, &"a".repeat(bytes + 1), "INVALID_ARGUMENT", &[&words]).await;
        }
    }
    table.finish();
}

/// `12,000`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_uri_leads_to_a_host_over_http() {
    let mut table = Table::new().await;
    let uris: Vec<_> = given().into_iter().filter(|(_, leaf, _)| leaf.route().ends_with("uri")).collect();
    assert_eq!(uris.len(), 4);
    for (method, leaf, _) in uris {
        assert!(leaf.comment().contains("`https` or `http` URI with a host"), "{}", leaf.comment());
        let at = (&method, &leaf);
        table.takes(at, Some("HTTP://example.org/a?b")).await;
        for wrong in [
            "javascript:alert(1)",
            "data:text/html,a",
            "vbscript:a",
            "file:///etc/passwd",
            "https:///a",
            "https://a@b/",
            "mailto:a@b",
        ] {
            table.refuses(at, wrong, "INVALID_ARGUMENT", &["must"]).await;
        }
    }
    table.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_kept_to_the_microsecond_as_the_contract_says() {
    for time in methods().iter().flat_map(|method| times(&method.input())) {
        assert!(fields::comment(&time).contains("microsecond"), "{}", time.full_name());
    }
    let service = Service::start().await;
    let mut author = service.person("author");
    author.create("fire", "en").await;
    let time = |nanos| Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos });
    let content = v1::Content { expire_time: time(123_456_789), as_of_time: time(999), ..words("Fire") };
    let saved = author.save("fire", "en", content).await;
    let request = v1::GetDraftRequest { name: saved.name, ..Default::default() };
    let there = author.editorial.get_draft(request).await.unwrap().into_inner().draft.unwrap().content.unwrap();
    assert_eq!((there.expire_time, there.as_of_time), (time(123_456_000), time(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminal_is_sent_neither_drives_it_nor_turns_it_round() {
    let service = Service::start().await;
    service.person("author").create("fire", "en").await;
    let title = "\u{2067}לו\u{2069} \u{200b}می\u{200c}خواهم \u{202e}x\u{202c}";
    let content = v1::Content { summary: "a\u{9b}31m \u{feff}".to_owned(), body: title.to_owned(), ..words(title) };
    publish(&service, "fire", "en", content).await;
    let server = format!("http://{}", service.address);
    for (arguments, isolated) in [
        (&["statement", "get", "fire"][..], true),
        (&["statement", "list"], true),
        (&["watch", "--until-current"], true),
        (&["statement", "diff", "fire/en.1", "fire/en.1"], false),
        (&["--output", "json", "statement", "get", "fire"], false),
        (&["entries"], false),
    ] {
        let output = onrecord(&[&["--server", &server, "--caller", "reader"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.contains('\u{2068}'), isolated, "{arguments:?}: {text:?}");
        for line in text.lines() {
            let left: String = line.chars().filter(|c| is_hidden(*c)).collect();
            let left = left.replace('\u{200c}', "").replace("\u{2068}\u{2069}", "");
            assert_eq!(left, "", "{arguments:?}: {line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_contradicts_itself_is_refused_before_the_service_is_asked() {
    for (time, why) in [
        ("2026-07-01T12:00:00+02:00[America/New_York]", "contradicts"),
        ("2026-07-01T12:00:00Z[Mars/Olympus]", "is not known"),
    ] {
        for arguments in [&["publish", "fire", "en", "--at", time][..], &["statement", "get", "fire", "--as-of", time]]
        {
            let output = onrecord(arguments);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
        }
    }
}
