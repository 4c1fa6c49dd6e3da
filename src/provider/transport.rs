//! Where a request broke on its way. reqwest's own questions are too coarse for that, so the chain
//! of causes is opened down to the socket and the certificate.

use std::error::Error;
use std::io;
use std::iter;

use rustls::CertificateError;

use crate::domain::failure::TransportFault;

/// The most of a chain of causes that is kept, in bytes.
const DETAIL_CAP: usize = 500;

/// Says where a request broke, and in plain words how: without the URL, at most 500 bytes.
pub(super) fn classify(error: &reqwest::Error) -> (TransportFault, String) {
    let signs = Signs {
        before_sending: error.is_connect() || error.is_builder(),
        dns: error.is_dns(),
        timeout: error.is_timeout(),
    };
    if error.is_builder() {
        return (fault(signs, error), detail(error));
    }
    let fault = fault(signs, error);
    (fault, words(fault, error))
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

/// Says how a request broke, for people; what only the library knows stands in brackets.
fn words(fault: TransportFault, error: &(dyn Error + 'static)) -> String {
    let plain = causes(error).find_map(of_certificate).or_else(|| {
        let kinds = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
        kinds.map(io::Error::kind).find_map(of_kind)
    });
    let what = match (fault, plain) {
        (TransportFault::Dns, _) => "no such host is known to this machine's name service",
        (TransportFault::Timeout, _) => "no whole answer came within the time limit of a request",
        (TransportFault::Certificate, None) => "the endpoint's certificate is not to be trusted",
        (TransportFault::Proxy, _) => "the proxy did not let the request through",
        (TransportFault::Broken, None) => "the connection broke off",
        (_, Some(plain)) => plain,
        (_, None) => "no connection came about",
    };
    let said = causes(error).last().map_or_else(String::new, innermost);
    let mut words = if said.is_empty() || plain == Some(what) || fault == TransportFault::Timeout {
        what.to_owned()
    } else {
        format!("{what} ({said})")
    };
    words.truncate(words.floor_char_boundary(DETAIL_CAP));
    words
}

/// What the last cause of all says, without the marks of libraries.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let said = match error.downcast_ref::<reqwest::Error>() {
        Some(outer) => outer_words(outer).to_owned(),
        None => error.to_string(),
    };
    let said = said
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&said);
    let said = said.split(" (os error").next().unwrap_or_default();
    said.to_owned()
}

fn of_kind(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    Some(match kind {
        Kind::ConnectionRefused => {
            "the connection was refused: nothing listens at that host and port"
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable => "no network leads to that host",
        Kind::TimedOut => "the other side did not answer in time",
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
            "the other side cut the connection"
        }
        Kind::PermissionDenied => "this machine does not allow the connection",
        Kind::AddrNotAvailable => "this machine has no address or port free for the connection",
        _ => return None,
    })
}

fn of_certificate(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use CertificateError as Wrong;
    let rustls::Error::InvalidCertificate(wrong) = error.downcast_ref::<rustls::Error>()? else {
        return None;
    };
    Some(match wrong {
        Wrong::Expired | Wrong::ExpiredContext { .. } => "the endpoint's certificate has expired",
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            "the endpoint's certificate is not valid yet by this machine's clock"
        }
        Wrong::UnknownIssuer => {
            "the endpoint's certificate is from an issuer that is not trusted here"
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            "the endpoint's certificate is for another host"
        }
        Wrong::Revoked => "the endpoint's certificate has been revoked",
        _ => return None,
    })
}

/// Returns the chain of causes in words, each once.
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

    #[track_caller]
    fn check_words(fault: TransportFault, error: &Link, expected: &str) {
        assert_eq!(words(fault, error), expected, "{error:?}");
    }

    #[test]
    fn people_are_told_in_plain_words() {
        let io = |number| {
            chain(
                "client error (Connect)",
                io::Error::from_raw_os_error(number),
            )
        };
        check_words(
            TransportFault::Connect,
            &io(111),
            "the connection was refused: nothing listens at that host and port",
        );
        check_words(
            TransportFault::Connect,
            &io(101),
            "no network leads to that host",
        );
        check_words(
            TransportFault::Broken,
            &io(104),
            "the other side cut the connection",
        );
        let unknown = "failed to lookup address information: Name or service not known";
        check_words(
            TransportFault::Dns,
            &chain(
                "client error (Connect)",
                chain("dns error", io::Error::other(unknown)),
            ),
            "no such host is known to this machine's name service (Name or service not known)",
        );
    }

    #[test]
    fn what_only_the_library_knows_stands_in_brackets() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        check_words(
            TransportFault::Certificate,
            &chain("connect", io::Error::other(expired)),
            "the endpoint's certificate has expired",
        );
        check_words(
            TransportFault::Certificate,
            &chain(
                "connect",
                io::Error::other(rustls::Error::NoCertificatesPresented),
            ),
            "the endpoint's certificate is not to be trusted (peer sent no certificates)",
        );
        check_words(
            TransportFault::Proxy,
            &chain("tunnel error: failed", io::Error::from_raw_os_error(111)),
            "the proxy did not let the request through (Connection refused)",
        );
        check_words(
            TransportFault::Timeout,
            &Link("operation timed out", None),
            "no whole answer came within the time limit of a request",
        );
        check_words(
            TransportFault::Broken,
            &chain(
                "failed",
                Link("connection closed before message completed", None),
            ),
            "the connection broke off (connection closed before message completed)",
        );
        let long = chain("x", "é".repeat(600));
        assert!(words(TransportFault::Connect, &long).len() <= DETAIL_CAP);
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
