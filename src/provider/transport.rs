//! Where a request broke on its way. reqwest's own questions are too coarse for that, so the chain
//! of causes is opened down to the socket and the certificate.

use std::error::Error;
use std::io;
use std::iter;

use crate::domain::failure::TransportFault;

/// The most of a chain of causes that is kept, in bytes.
const DETAIL_CAP: usize = 500;

/// Says where a request broke, and the chain of causes in words: without the URL, each cause once,
/// at most 500 bytes.
pub(super) fn classify(error: &reqwest::Error) -> (TransportFault, String) {
    let signs = Signs {
        before_sending: error.is_connect() || error.is_builder(),
        dns: error.is_dns(),
        timeout: error.is_timeout(),
    };
    (fault(signs, error), detail(error))
}

/// What reqwest itself says of an error.
#[derive(Clone, Copy, Default)]
struct Signs {
    before_sending: bool,
    dns: bool,
    timeout: bool,
}

fn fault(signs: Signs, error: &(dyn Error + 'static)) -> TransportFault {
    if signs.before_sending {
        // A proxy's name, certificate and connection have their own faults underneath: it comes first.
        return if causes(error).any(is_proxy) {
            TransportFault::Proxy
        } else if signs.dns {
            TransportFault::Dns
        } else if causes(error).any(is_certificate) {
            TransportFault::Certificate
        } else {
            TransportFault::Connect
        };
    }
    // The kernel gives up on a dead connection with the same kind, long before the total time.
    if signs.timeout && !causes(error).any(is_dead_connection) {
        return TransportFault::Timeout;
    }
    TransportFault::Broken
}

/// Returns the error and its causes, from the outside in.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| cause(*error))
}

/// An `io::Error` leaves what it wraps out of the chain: its source is its content's source.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(content) => Some(content),
        None => error.source(),
    }
}

/// hyper-util's tunnel through a proxy is known by its words alone.
fn is_proxy(error: &(dyn Error + 'static)) -> bool {
    error.to_string().starts_with("tunnel error")
}

fn is_certificate(error: &(dyn Error + 'static)) -> bool {
    matches!(
        error.downcast_ref::<rustls::Error>(),
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    )
}

fn is_dead_connection(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|io| io.raw_os_error().is_some())
}

/// Returns the chain of causes in words.
pub(super) fn detail(error: &(dyn Error + 'static)) -> String {
    let mut words = String::new();
    for cause in causes(error) {
        let said = match cause.downcast_ref::<reqwest::Error>() {
            Some(outer) => outer_words(outer).to_owned(),
            None => cause.to_string(),
        };
        if said.is_empty() || words.contains(&said) {
            continue;
        }
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&said);
    }
    words.truncate(words.floor_char_boundary(DETAIL_CAP));
    words
}

/// reqwest's own errors end in the URL, so they are told in our words.
fn outer_words(error: &reqwest::Error) -> &'static str {
    if error.is_builder() {
        "the request could not be built"
    } else if error.is_body() || error.is_decode() {
        "the response broke off"
    } else {
        "the request failed"
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use rustls::CertificateError;

    use super::*;

    /// A link of a chain of causes.
    #[derive(Debug)]
    struct Link(&'static str, Option<Box<dyn Error + Send + Sync>>);

    impl fmt::Display for Link {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|error| error as _)
        }
    }

    fn chain(words: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Link {
        Link(words, Some(cause.into()))
    }

    const CONNECTING: Signs = Signs {
        before_sending: true,
        dns: false,
        timeout: false,
    };
    const SENT: Signs = Signs {
        before_sending: false,
        dns: false,
        timeout: false,
    };

    #[track_caller]
    fn check(signs: Signs, error: &Link, expected: TransportFault) {
        assert_eq!(fault(signs, error), expected, "{error:?}");
    }

    #[test]
    fn only_an_invalid_certificate_is_a_certificate_fault() {
        let wrapped = |error: rustls::Error| {
            // As deep as hyper-rustls wraps it.
            chain("connect", io::Error::other(io::Error::other(error)))
        };
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        check(
            CONNECTING,
            &wrapped(unknown.clone()),
            TransportFault::Certificate,
        );
        check(
            CONNECTING,
            &chain("connect", unknown),
            TransportFault::Certificate,
        );
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        check(CONNECTING, &wrapped(alert), TransportFault::Connect);
        let eof = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        check(CONNECTING, &chain("connect", eof), TransportFault::Connect);
    }

    #[test]
    fn whatever_happens_at_the_proxy_is_the_proxys() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let tunnel = chain(
            "connect",
            chain(
                "tunnel error: failed to create underlying connection",
                refused,
            ),
        );
        check(CONNECTING, &tunnel, TransportFault::Proxy);
        check(
            Signs {
                dns: true,
                ..CONNECTING
            },
            &tunnel,
            TransportFault::Proxy,
        );
    }

    #[test]
    fn before_sending_a_timeout_is_a_failed_connection() {
        let slow = chain("connect", Link("operation timed out", None));
        check(
            Signs {
                timeout: true,
                ..CONNECTING
            },
            &slow,
            TransportFault::Connect,
        );
        let unknown = chain("connect", Link("dns error", None));
        check(
            Signs {
                dns: true,
                ..CONNECTING
            },
            &unknown,
            TransportFault::Dns,
        );
    }

    #[test]
    fn after_sending_only_our_own_clock_makes_a_timeout() {
        let timeout = Signs {
            timeout: true,
            ..SENT
        };
        check(
            timeout,
            &Link("operation timed out", None),
            TransportFault::Timeout,
        );
        let dead = io::Error::from_raw_os_error(110);
        check(
            timeout,
            &chain("connection error", dead),
            TransportFault::Broken,
        );
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        check(
            SENT,
            &chain("connection error", reset),
            TransportFault::Broken,
        );
    }

    #[test]
    fn the_detail_says_each_cause_once_and_is_cut_at_a_letter() {
        let error = chain(
            "failed",
            chain(
                "client error (Connect)",
                chain("refused", Link("refused", None)),
            ),
        );
        assert_eq!(detail(&error), "failed: client error (Connect): refused");
        let long = chain("x", "é".repeat(600));
        assert_eq!(detail(&long).len(), 499);
    }

    #[test]
    fn a_url_is_never_in_the_detail() {
        let error = reqwest::Client::builder()
            .user_agent("a\nb")
            .build()
            .expect_err("bad agent");
        let url = reqwest::Url::parse("https://secret.example/v1").expect("url");
        let (fault, detail) = classify(&error.with_url(url));
        assert_eq!(fault, TransportFault::Connect);
        assert!(
            detail.starts_with("the request could not be built: "),
            "{detail}"
        );
        assert!(!detail.contains("secret"), "{detail}");
    }
}
