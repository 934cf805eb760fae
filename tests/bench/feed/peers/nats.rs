//! NATS: core, which keeps nothing and drops what a slow subscriber does not take; and JetStream with a push consumer for each
//! subscriber, as it comes: it acknowledges before it syncs.

use std::{env, fs, process::Command, sync::Arc};

use prost::bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex,
    task::JoinHandle,
};

use super::{Counted, Keeper, Peer, payload, until_it_works};
use crate::process::{Process, free_port};

/// Connections to publish over; a publication has one for itself.
const PUBLISHERS: usize = 256;
/// Messages that a pull consumer is asked for at a time; it is asked twice ahead.
const PULLED: u64 = 500;
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// Where nats-server is, if it is.
pub(crate) fn binary() -> Option<String> {
    env::var("ONRECORD_NATS").ok()
}

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Message { subject: String, payload: Vec<u8> },
    Pong,
    Other,
}

/// A connection that speaks the protocol of NATS, as far as it is needed.
struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    async fn open(port: u16) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(CONNECT.as_bytes()).await?;
        let mut connection = Self { stream, buffer: BytesMut::with_capacity(64 * 1024) };
        connection.flush().await?;
        Ok(connection)
    }

    async fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    /// Returns once the server has taken all that was written.
    async fn flush(&mut self) -> std::io::Result<()> {
        self.write("PING\r\n").await?;
        while self.next(true).await? != Line::Pong {}
        Ok(())
    }

    /// Asks, and gives the answer.
    async fn ask(&mut self, subject: &str, inbox: &str, payload: &str) -> std::io::Result<Vec<u8>> {
        self.write(&format!("PUB {subject} {inbox} {}\r\n{payload}\r\n", payload.len())).await?;
        loop {
            if let Line::Message { subject, payload } = self.next(true).await?
                && subject == inbox
            {
                return Ok(payload);
            }
        }
    }

    /// The next line; of a message only what is needed.
    async fn next(&mut self, payloads: bool) -> std::io::Result<Line> {
        loop {
            if let Some((line, length)) = parse(&self.buffer, payloads) {
                let ping = self.buffer.starts_with(b"PING");
                self.buffer.advance(length);
                if ping {
                    self.write("PONG\r\n").await?;
                }
                return Ok(line);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Counts messages until the connection ends: all that are there, at once.
    async fn count(self, counted: Arc<Counted>) {
        self.count_pulled(counted, None).await;
    }

    /// The same; after each [`PULLED`] of them writes what asks for more.
    async fn count_pulled(mut self, counted: Arc<Counted>, more: Option<String>) {
        let mut pulled = 0;
        loop {
            let mut messages = 0;
            while let Some((line, length)) = parse(&self.buffer, false) {
                messages += u64::from(matches!(line, Line::Message { .. }));
                if self.buffer.starts_with(b"PING") && self.write("PONG\r\n").await.is_err() {
                    return;
                }
                self.buffer.advance(length);
            }
            if messages > 0 {
                counted.deliver(messages);
            }
            pulled += messages;
            while let Some(more) = more.as_ref().filter(|_| pulled >= PULLED) {
                pulled -= PULLED;
                if self.write(more).await.is_err() {
                    return;
                }
            }
            if !self.stream.read_buf(&mut self.buffer).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
    }
}

/// The first line and its payload, and how many bytes both have; none if they are not all there.
fn parse(buffer: &[u8], payloads: bool) -> Option<(Line, usize)> {
    let end = buffer.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&buffer[..end]).unwrap();
    let after = end + 2;
    assert!(!line.starts_with("-ERR"), "{line}");
    if !line.starts_with("MSG ") && !line.starts_with("HMSG ") {
        return Some((if line == "PONG" { Line::Pong } else { Line::Other }, after));
    }
    let bytes: usize = line.rsplit(' ').next()?.parse().unwrap();
    let payload = buffer.get(after..after + bytes)?;
    buffer.get(after + bytes + 1)?;
    let (subject, payload) =
        if payloads { (line.split(' ').nth(1)?.to_owned(), payload.to_vec()) } else { (String::new(), Vec::new()) };
    Some((Line::Message { subject, payload }, after + bytes + 2))
}

/// NATS core.
#[derive(Clone)]
pub(crate) struct Core(Arc<Service>);

/// What JetStream syncs before it acknowledges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Not,
    /// Nothing: as it comes.
    Later,
    /// Each message.
    Synced,
}

/// JetStream; with `SYNC` it syncs each message before it acknowledges it.
#[derive(Clone)]
pub(crate) struct JetStream<const SYNC: bool>(Arc<Service>);

struct Service {
    process: Process,
    port: u16,
    payload: String,
    publishers: Vec<Mutex<Connection>>,
}

impl Service {
    async fn start(bytes: usize, kept: Kept) -> Self {
        let port = free_port();
        let process = Process::start(|directory| {
            let mut config = format!("listen: 127.0.0.1:{port}\nmax_connections: 64000\n");
            if kept != Kept::Not {
                let store = directory.join("js");
                let sync = if kept == Kept::Synced { ", sync_interval: always" } else { "" };
                config += &format!(
                    "jetstream {{ store_dir: \"{}\"{sync} }}
",
                    store.display()
                );
            }
            let file = directory.join("nats.conf");
            fs::write(&file, config).unwrap();
            let mut command = Command::new(binary().unwrap());
            command.arg("-c").arg(file);
            command
        });
        let mut first = until_it_works(async || Connection::open(port).await).await;
        if kept != Kept::Not {
            first.write("SUB _I.0 1\r\n").await.unwrap();
            let stream =
                r#"{"name":"R","subjects":["s.>"],"storage":"file","retention":"limits","max_consumers":20000}"#;
            asked(&first.ask("$JS.API.STREAM.CREATE.R", "_I.0", stream).await.unwrap());
        }
        let mut publishers = Vec::new();
        for number in 0..PUBLISHERS {
            let mut connection = Connection::open(port).await.unwrap();
            connection.write(&format!("SUB _P.{number} 1\r\n")).await.unwrap();
            publishers.push(Mutex::new(connection));
        }
        Self { process, port, payload: payload(bytes), publishers }
    }
}

/// An answer of JetStream that is no error.
fn asked(answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    assert!(!text.contains("\"error\""), "{text}");
}

impl Peer for Core {
    type Subscription = JoinHandle<()>;

    async fn start(_: usize, bytes: usize) -> Self {
        Self(Arc::new(Service::start(bytes, Kept::Not).await))
    }

    fn process(&self) -> &Process {
        &self.0.process
    }

    async fn subscribe(&self, _: usize, counted: Arc<Counted>) -> Self::Subscription {
        let mut connection = Connection::open(self.0.port).await.unwrap();
        connection.write("SUB s.> 1\r\n").await.unwrap();
        connection.flush().await.unwrap();
        tokio::spawn(connection.count(counted))
    }

    async fn publish(&self, number: usize) {
        let mut connection = self.0.publishers[number % PUBLISHERS].lock().await;
        let payload = &self.0.payload;
        connection.write(&format!("PUB s.{number} {}\r\n{payload}\r\n", payload.len())).await.unwrap();
        connection.flush().await.unwrap();
    }
}

impl<const SYNC: bool> Peer for JetStream<SYNC> {
    type Subscription = JoinHandle<()>;

    async fn start(_: usize, bytes: usize) -> Self {
        let kept = if SYNC { Kept::Synced } else { Kept::Later };
        Self(Arc::new(Service::start(bytes, kept).await))
    }

    fn process(&self) -> &Process {
        &self.0.process
    }

    async fn subscribe(&self, number: usize, counted: Arc<Counted>) -> Self::Subscription {
        let mut connection = Connection::open(self.0.port).await.unwrap();
        connection.write(&format!("SUB d.{number} 1\r\nSUB _C.{number} 2\r\n")).await.unwrap();
        let consumer = format!(
            r#"{{"stream_name":"R","config":{{"deliver_subject":"d.{number}","ack_policy":"none","deliver_policy":"new","replay_policy":"instant","mem_storage":true}}}}"#
        );
        let answer = connection.ask("$JS.API.CONSUMER.CREATE.R", &format!("_C.{number}"), &consumer).await;
        asked(&answer.unwrap());
        tokio::spawn(connection.count(counted))
    }

    async fn publish(&self, number: usize) {
        let place = number % PUBLISHERS;
        let mut connection = self.0.publishers[place].lock().await;
        let answer = connection.ask(&format!("s.{number}"), &format!("_P.{place}"), &self.0.payload).await;
        asked(&answer.unwrap());
    }
}

impl Keeper for JetStream<false> {
    async fn replay(&self, number: usize, counted: Arc<Counted>) -> Self::Subscription {
        let mut connection = Connection::open(self.0.port).await.unwrap();
        connection.write(&format!("SUB d.{number} 1\r\nSUB _C.{number} 2\r\n")).await.unwrap();
        let consumer = format!(
            r#"{{"stream_name":"R","config":{{"name":"c{number}","ack_policy":"none","deliver_policy":"all","replay_policy":"instant","mem_storage":true}}}}"#
        );
        let create = format!("$JS.API.CONSUMER.CREATE.R.c{number}");
        asked(&connection.ask(&create, &format!("_C.{number}"), &consumer).await.unwrap());
        let batch = format!(r#"{{"batch":{PULLED}}}"#);
        let more = format!("PUB $JS.API.CONSUMER.MSG.NEXT.R.c{number} d.{number} {}\r\n{batch}\r\n", batch.len());
        connection.write(&more.repeat(2)).await.unwrap();
        tokio::spawn(connection.count_pulled(counted, Some(more)))
    }
}
