//! Origins of web pages, as the Fetch standard writes them.

use std::{fmt, str::FromStr};

use http::HeaderValue;

use crate::domain::id::Malformed;

/// An origin of web pages: `https://press.example.org`, with the port if it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let words = "must be a scheme, a host and, if it is not the scheme's own, a port, as browsers send it: https://press.example.org";
        let malformed = || Malformed::new(words);
        let (scheme, authority) = text.split_once("://").ok_or_else(malformed)?;
        let is_known = matches!(scheme, "https" | "http");
        let is_host =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':' | '[' | ']');
        let own_port = if scheme == "https" { ":443" } else { ":80" };
        if !is_known || authority.is_empty() || !authority.chars().all(is_host) || authority.ends_with(own_port) {
            return Err(malformed());
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| malformed())
    }
}

impl Origin {
    /// Value of the header `Origin`.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for right in ["https://press.example.org", "http://127.0.0.1:8080", "https://[::1]:8443"] {
            assert_eq!(right.parse::<Origin>().unwrap().to_string(), right);
        }
        let wrong = [
            "*",
            "null",
            "press.example.org",
            "https://",
            "https://press.example.org/",
            "https://Press.example.org",
            "https://press.example.org:443",
            "ftp://press.example.org",
            "https://a b",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
