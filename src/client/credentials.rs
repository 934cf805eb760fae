//! Who calls: what each call has with it to show that.
//!
//! **Invariants** (`a_token_is_the_newest_that_its_file_held`)
//! - A file that cannot be used changes nothing: the token before counts.
//! - What it shows is printed nowhere.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tonic::{
    Request, Status,
    metadata::{MetadataMap, MetadataValue},
    service::Interceptor,
};
use tracing::warn;

/// Who calls, where the service runs with `--insecure`.
const CALLER: &str = "onrecord-caller";
/// What shows who calls, elsewhere.
const AUTHORIZATION: &str = "authorization";

/// How long a token that was read is not read again.
const FRESH: Duration = Duration::from_secs(1);

/// What each call has with it to show who calls. It is asked before each, so a new token counts without a new start. Cheap to clone; also an
/// interceptor for clients of one's own.
///
/// A client certificate is no part of it: it is the channel's, and a new one takes a new channel.
#[derive(Clone)]
pub struct Credentials(Arc<dyn Fn() -> MetadataMap + Send + Sync>);

impl Credentials {
    /// What `metadata` says when it is asked, which is before each call and must not take long.
    pub fn asked(metadata: impl Fn() -> MetadataMap + Send + Sync + 'static) -> Self {
        Self(Arc::new(metadata))
    }

    /// Nothing, or a certificate.
    #[must_use]
    pub fn none() -> Self {
        Self::asked(MetadataMap::new)
    }

    /// A name alone, which is believed where the service runs with `--insecure`.
    ///
    /// # Errors
    /// If the name is not printable ASCII.
    pub fn stated(name: &str) -> io::Result<Self> {
        let value = name.parse().ok().filter(|_| name.is_ascii());
        let value: MetadataValue<_> = value.ok_or_else(|| invalid("is not printable ASCII"))?;
        let mut metadata = MetadataMap::new();
        metadata.insert(CALLER, value);
        Ok(Self::asked(move || metadata.clone()))
    }

    /// The token in a local file, read again before a call if it was not within the last second. While it cannot be read, or holds none, the
    /// one before counts. A new one is written beside it, and moved into its place, before the old one ends. What comes by a pipe is read once.
    ///
    /// # Errors
    /// If it cannot be read now, or holds no token.
    pub fn token_file(path: impl Into<PathBuf>) -> io::Result<Self> {
        Self::token_file_read_after(path.into(), FRESH)
    }

    fn token_file_read_after(path: PathBuf, fresh: Duration) -> io::Result<Self> {
        let first = bearer(&path)?;
        if !fs::metadata(&path)?.is_file() {
            return Ok(Self::asked(move || first.clone()));
        }
        let newest = Mutex::new((first, Instant::now()));
        Ok(Self::asked(move || {
            let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
            let (token, read_at) = &mut *newest;
            if read_at.elapsed() >= fresh {
                *read_at = Instant::now();
                match bearer(&path) {
                    Ok(read) => *token = read,
                    Err(error) => warn!(file = %path.display(), %error, "the token before is used"),
                }
            }
            token.clone()
        }))
    }

    /// What the next call is to have with it.
    #[must_use]
    pub fn metadata(&self) -> MetadataMap {
        (self.0)()
    }
}

/// Nothing of what it shows.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let (mut metadata, extensions, message) = request.into_parts();
        metadata.as_mut().extend(self.metadata().into_headers());
        Ok(Request::from_parts(metadata, extensions, message))
    }
}

fn bearer(path: &Path) -> io::Result<MetadataMap> {
    let text = fs::read_to_string(path)?;
    let token = Some(text.trim()).filter(|token| !token.is_empty());
    let value = token.and_then(|token| format!("Bearer {token}").parse().ok());
    let mut value: MetadataValue<_> = value.ok_or_else(|| invalid("holds no token"))?;
    value.set_sensitive(true);
    let mut metadata = MetadataMap::new();
    metadata.insert(AUTHORIZATION, value);
    Ok(metadata)
}

fn invalid(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::fd::AsRawFd as _};

    use super::*;

    fn shown(credentials: &Credentials, key: &str) -> String {
        credentials.metadata().get(key).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_caller_is_printable_ascii() {
        assert_eq!(shown(&Credentials::stated("anna.b").unwrap(), CALLER), "anna.b");
        for name in ["änna", "a\nb"] {
            assert_eq!(Credentials::stated(name).unwrap_err().to_string(), "is not printable ASCII");
        }
    }

    #[test]
    fn a_token_is_the_newest_that_its_file_held() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        assert_eq!(Credentials::token_file(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, " \n").unwrap();
        assert_eq!(Credentials::token_file(&path).unwrap_err().to_string(), "holds no token");
        fs::write(&path, "one\n").unwrap();
        let credentials = Credentials::token_file_read_after(path.clone(), Duration::ZERO).unwrap();
        let kept = Credentials::token_file_read_after(path.clone(), Duration::MAX).unwrap();
        fs::write(&path, "two\n").unwrap();
        assert_eq!(shown(&kept, AUTHORIZATION), "Bearer one");
        assert_eq!(shown(&credentials, AUTHORIZATION), "Bearer two");
        for broken in ["", "a\u{1}b"] {
            fs::write(&path, broken).unwrap();
            assert_eq!(shown(&credentials, AUTHORIZATION), "Bearer two", "{broken:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(shown(&credentials, AUTHORIZATION), "Bearer two");
        assert!(!format!("{credentials:?}").contains("two"));
    }

    #[test]
    fn what_comes_by_a_pipe_is_read_once() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"one\n").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let credentials = Credentials::token_file_read_after(path.into(), Duration::ZERO).unwrap();
        assert_eq!([(); 2].map(|()| shown(&credentials, AUTHORIZATION)), ["Bearer one"; 2]);
    }
}
