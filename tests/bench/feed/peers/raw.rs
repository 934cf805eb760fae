//! The limit: a writer that copies bytes to sockets, without a protocol, a filter or a disk. It is this very program, in another
//! process.

use std::{env, process::Command, sync::Arc};

use prost::bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use super::{Counted, Peer, payload, until_it_works};
use crate::process::{Process, free_port};

/// What begins a connection: to follow, or to publish.
const FOLLOW: u8 = b'F';
const PUBLISH: u8 = b'P';
/// Connections to publish over; a publication has one for itself.
const PUBLISHERS: usize = 64;

#[derive(Clone)]
pub(crate) struct Raw(Arc<Service>);

struct Service {
    process: Process,
    port: u16,
    bytes: usize,
    publishers: Vec<Mutex<TcpStream>>,
}

async fn connect(port: u16, what: u8) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    stream.write_u8(what).await?;
    // That it was taken in.
    stream.read_u8().await?;
    Ok(stream)
}

impl Peer for Raw {
    type Subscription = JoinHandle<()>;

    async fn start(_: usize, bytes: usize) -> Self {
        let port = free_port();
        let process = Process::start(|_| {
            let mut command = Command::new(env::current_exe().unwrap());
            command.args(["raw-server", &port.to_string(), &bytes.to_string()]);
            command
        });
        until_it_works(async || connect(port, PUBLISH).await).await;
        let mut publishers = Vec::new();
        for _ in 0..PUBLISHERS {
            publishers.push(Mutex::new(connect(port, PUBLISH).await.unwrap()));
        }
        Self(Arc::new(Service { process, port, bytes, publishers }))
    }

    fn process(&self) -> &Process {
        &self.0.process
    }

    async fn subscribe(&self, _: usize, counted: Arc<Counted>) -> Self::Subscription {
        let mut stream = connect(self.0.port, FOLLOW).await.unwrap();
        let bytes = self.0.bytes;
        tokio::spawn(async move {
            let mut buffer = BytesMut::with_capacity(64 * 1024);
            while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                let events = buffer.len() / bytes;
                if events > 0 {
                    buffer.advance(events * bytes);
                    counted.deliver(events as u64);
                }
            }
        })
    }

    async fn publish(&self, number: usize) {
        let mut stream = self.0.publishers[number % PUBLISHERS].lock().await;
        stream.write_all(payload(self.0.bytes).as_bytes()).await.unwrap();
        stream.read_u8().await.unwrap();
    }
}

/// What the server is told.
enum Told {
    Subscriber(TcpStream),
    Event(BytesMut),
}

/// The server.
pub(crate) fn serve(port: u16, bytes: usize) {
    Runtime::new().unwrap().block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (tell, mut told) = mpsc::channel(1_024);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(take_in(stream, bytes, tell.clone()));
            }
        });
        let (mut subscribers, mut all) = (Vec::new(), Vec::new());
        while told.recv_many(&mut all, 1_024).await > 0 {
            let mut together = BytesMut::new();
            for one in all.drain(..) {
                match one {
                    Told::Subscriber(stream) => subscribers.push(stream),
                    Told::Event(event) => together.extend_from_slice(&event),
                }
            }
            for subscriber in subscribers.iter_mut().filter(|_| !together.is_empty()) {
                let _ = subscriber.write_all(&together).await;
            }
        }
    });
}

async fn take_in(mut stream: TcpStream, bytes: usize, tell: mpsc::Sender<Told>) {
    let Ok(what) = stream.read_u8().await else { return };
    if stream.write_u8(what).await.is_err() {
        return;
    }
    if what == FOLLOW {
        let _ = tell.send(Told::Subscriber(stream)).await;
        return;
    }
    let mut event = BytesMut::zeroed(bytes);
    while stream.read_exact(&mut event).await.is_ok() {
        let _ = tell.send(Told::Event(event.clone())).await;
        let _ = stream.write_u8(PUBLISH).await;
    }
}
