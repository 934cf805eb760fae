//! Frames of HTTP/2 that cost their peer nothing: SETTINGS, PING, PRIORITY, `WINDOW_UPDATE`, `RST_STREAM`, those that nobody knows, and DATA
//! in crumbs. Each of them costs us a look or an answer, and h2 (0.4) counts none of them without end: a peer that goes on sending them takes
//! the processor from the others.
//!
//! **Invariants**
//! - What passes is not changed: frames are counted here, and read by h2.
//! - A peer has them in proportion to what it is sent: who receives much opens windows and measures round trips all the time. Who receives
//!   little has a thousand a second (`who_receives_much_may_send_more_of_them`).
//! - Who sends more is cut off (`who_floods_its_connection_is_cut_off_and_leaves_the_others_alone`).
//! - HEADERS and whole DATA are not counted here: calls have limits of their own, and h2 bounds CONTINUATION and empty DATA.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Bytes that a client says first (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame before its payload, of which the first three are the length of that, and the fourth the type (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// Types of frames, and the flag of DATA that nothing follows (RFC 9113, section 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
/// Bytes of DATA that is not the end of a message, from which on it is no crumb.
const CRUMB_BYTES: usize = 256;

/// Bytes that a peer is sent for each frame that it may send. The answer to a PING has 17 and that to SETTINGS 9, so neither pays for itself.
const FRAME: u64 = 32;
/// Frames a millisecond, whatever it is sent.
const PER_MILLISECOND: u64 = 1;
/// Frames that a connection begins with: one for each stream that it may have, and some beside. Who is cut off and comes back has no more.
const AT_FIRST: u64 = 1_100;
/// Frames at once, after a pause: a proxy may have to open the windows of all the streams of a connection, or reset them all.
const AT_ONCE: u64 = 4_000;

/// A connection whose peer's frames are counted.
pub(super) struct Frames<S, F> {
    stream: S,
    /// Called once it is cut off.
    flood: F,
    heads: Heads,
    allowance: Allowance,
}

impl<S, F> Frames<S, F> {
    /// Of a connection of which nothing was read yet.
    pub(super) fn new(stream: S, flood: F) -> Self {
        Self { stream, flood, heads: Heads::default(), allowance: Allowance::default() }
    }
}

impl<S: AsyncRead + Unpin, F: Fn() + Unpin> AsyncRead for Frames<S, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let count = self.heads.count(buffer.filled().get(before..).unwrap_or_default());
        if count > 0 && !self.allowance.spend(count) {
            (self.flood)();
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "too many frames that ask for nothing",
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, F: Unpin> AsyncWrite for Frames<S, F> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.allowance.earn(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.allowance.earn(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Finds the heads of frames in bytes that come in any parts.
struct Heads {
    /// Bytes until the next head.
    skip: usize,
    /// Of the head that began: its bytes so far, the length of its payload as far as it is known, its type and its flags.
    seen: usize,
    length: usize,
    kind: u8,
    flags: u8,
}

impl Default for Heads {
    fn default() -> Self {
        Self { skip: PREFACE_BYTES, seen: 0, length: 0, kind: 0, flags: 0 }
    }
}

impl Heads {
    /// How many of the frames whose heads end in these bytes are counted.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((byte, rest)) = bytes.split_first() else { return count };
            bytes = rest;
            match self.seen {
                0..3 => self.length = self.length << 8 | usize::from(*byte),
                3 => self.kind = *byte,
                4 => self.flags = *byte,
                _ => {}
            }
            self.seen += 1;
            if self.seen == HEAD_BYTES {
                count += u64::from(self.is_counted());
                *self = Self { skip: self.length, ..Self::default() };
            }
        }
    }
}

impl Heads {
    /// Whether the frame whose head is seen is one that costs nothing.
    fn is_counted(&self) -> bool {
        match self.kind {
            HEADERS | CONTINUATION => false,
            DATA => self.length < CRUMB_BYTES && self.flags & END_STREAM == 0,
            _ => true,
        }
    }
}

/// What a peer may still send, in bytes that it was sent for it.
struct Allowance {
    left: u64,
    at: Instant,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: AT_FIRST * FRAME, at: Instant::now() }
    }
}

impl Allowance {
    /// Takes so many frames; false if there are not as many.
    fn spend(&mut self, frames: u64) -> bool {
        let now = Instant::now();
        let passed = u64::try_from((now - self.at).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            self.at += Duration::from_millis(passed);
            self.add(passed.saturating_mul(PER_MILLISECOND * FRAME));
        }
        let left = self.left.checked_sub(frames.saturating_mul(FRAME));
        self.left = left.unwrap_or_default();
        left.is_some()
    }

    fn earn(&mut self, bytes: usize) {
        self.add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn add(&mut self, bytes: u64) {
        self.left = self.left.saturating_add(bytes).min(AT_ONCE * FRAME);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::advance,
    };

    use super::*;

    const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn heads_are_found_however_the_bytes_are_parted() {
        // What looks like a head within a payload is none.
        let data = frame(0x0, &frame(0x6, &vec![0; 300]));
        let settings = frame(0x4, b"");
        let (ping, unknown) = (frame(0x6, b"12345678"), frame(0xfe, &vec![1; 70_000]));
        let (crumb, mut last, reset) = (frame(0x0, b"x"), frame(0x0, b"x"), frame(0x3, b"1234"));
        last[4] = END_STREAM;
        let counted = [settings, ping.clone(), unknown, crumb, reset, ping].concat();
        let others = [data, frame(0x1, b"x"), frame(0x9, b""), last].concat();
        let all = [PREFACE.as_slice(), &counted, &others, &counted].concat();
        for part in [1, 2, 3, 7, 9, 10, 1_000, all.len()] {
            let mut heads = Heads::default();
            let counts: Vec<_> = all.chunks(part).map(|bytes| heads.count(bytes)).collect();
            assert_eq!(counts.iter().sum::<u64>(), 12, "{part}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_more_than_its_share_is_cut_off() {
        let (mut peer, ours) = duplex(1 << 20);
        let floods = Cell::new(0);
        let mut ours = Frames::new(ours, || floods.set(floods.get() + 1));
        let mut read = vec![0; 1 << 20];
        let ping = frame(0x6, b"12345678");
        peer.write_all(PREFACE).await.unwrap();
        peer.write_all(&ping.repeat(1_100)).await.unwrap();
        let came = ours.read(&mut read).await.unwrap();
        assert_eq!(read[..came], [PREFACE.as_slice(), &ping.repeat(1_100)].concat(), "nothing is changed");
        // After a pause there are more of them, and no more than these.
        advance(Duration::from_mins(1)).await;
        peer.write_all(&ping.repeat(4_000)).await.unwrap();
        assert_eq!(ours.read(&mut read).await.unwrap(), ping.len() * 4_000);
        // By then a thousand more have come due.
        advance(Duration::from_secs(1)).await;
        peer.write_all(&ping.repeat(1_000)).await.unwrap();
        assert_eq!(ours.read(&mut read).await.unwrap(), ping.len() * 1_000);
        peer.write_all(&ping).await.unwrap();
        assert_eq!(ours.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(floods.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_receives_much_may_send_more_of_them() {
        let (mut peer, ours) = duplex(1 << 20);
        let mut ours = Frames::new(ours, || {});
        let (mut read, mut received) = (vec![0; 1 << 20], vec![0; 16 * 1_024]);
        peer.write_all(PREFACE).await.unwrap();
        assert_eq!(ours.read(&mut read).await.unwrap(), PREFACE_BYTES);
        // A window that is opened anew for every 100 bytes, all at one time.
        let updates = frame(0x8, &[0, 0, 0, 100]).repeat(160);
        for _ in 0..1_000 {
            ours.write_all(&[0; 16 * 1_024]).await.unwrap();
            peer.read_exact(&mut received).await.unwrap();
            peer.write_all(&updates).await.unwrap();
            assert_eq!(ours.read(&mut read).await.unwrap(), updates.len());
        }
    }
}
