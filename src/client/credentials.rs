//! Who calls: what each call has with it to show that.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
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

/// What each call has with it to show who calls. It is asked before each: a token that was changed for a new one counts from the next
/// call on. Cheap to clone; also an interceptor for clients of one's own.
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

    /// The token in a file, read again before each call. While it cannot be read, or holds none, the one before counts.
    ///
    /// # Errors
    /// If it cannot be read now, or holds no token.
    pub fn token_file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let first = bearer(&path)?;
        // What a pipe held is gone.
        if !fs::metadata(&path)?.is_file() {
            return Ok(Self::asked(move || first.clone()));
        }
        let newest = Mutex::new(first);
        Ok(Self::asked(move || {
            let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
            match bearer(&path) {
                Ok(read) => *newest = read,
                Err(error) => warn!(file = %path.display(), %error, "the token before is used"),
            }
            newest.clone()
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
        let credentials = Credentials::token_file(&path).unwrap();
        fs::write(&path, "two\n").unwrap();
        assert_eq!(shown(&credentials, AUTHORIZATION), "Bearer two");
        for broken in ["", "a\u{1}b"] {
            fs::write(&path, broken).unwrap();
            assert_eq!(shown(&credentials, AUTHORIZATION), "Bearer two", "{broken:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(shown(&credentials, AUTHORIZATION), "Bearer two");
        assert!(!format!("{credentials:?}").contains("two"));
    }
}
