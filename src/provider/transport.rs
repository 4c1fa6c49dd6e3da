//! Classifies transport errors. The methods of `reqwest::Error` are not specific enough, so the
//! chain of causes is inspected down to the socket and the certificate.

use std::error::Error;
use std::io;
use std::iter;

use rustls::CertificateError;

use crate::domain::failure::TransportErrorKind;

/// The maximum length of a description, in bytes.
const MAX_DETAIL_BYTES: usize = 500;

/// Classifies an error, and describes it in at most 500 bytes, without the URL.
pub(super) fn classify(error: &reqwest::Error) -> (TransportErrorKind, String) {
    let flags = ErrorFlags {
        before_sending: error.is_connect() || error.is_builder(),
        dns: error.is_dns(),
        timeout: error.is_timeout(),
    };
    if error.is_builder() {
        return (kind(flags, error), detail(error));
    }
    let kind = kind(flags, error);
    (kind, describe(kind, error))
}

/// The classification by reqwest.
#[derive(Clone, Copy, Default)]
struct ErrorFlags {
    before_sending: bool,
    dns: bool,
    timeout: bool,
}

fn kind(flags: ErrorFlags, error: &(dyn Error + 'static)) -> TransportErrorKind {
    if flags.before_sending {
        // Proxy errors have DNS, certificate or connection errors as causes, so they come first.
        return if causes(error).any(is_proxy) {
            TransportErrorKind::Proxy
        } else if flags.dns {
            TransportErrorKind::Dns
        } else if causes(error).any(is_certificate) {
            TransportErrorKind::Certificate
        } else {
            TransportErrorKind::Connect
        };
    }
    // The kernel reports dead connections as timeouts too, long before our own timeout.
    if flags.timeout && !causes(error).any(is_dead_connection) {
        return TransportErrorKind::Timeout;
    }
    TransportErrorKind::Broken
}

/// Returns the error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| source_of(*error))
}

/// Returns the cause of an error. `io::Error::source` skips the error that it wraps, so this
/// function returns the wrapped error instead.
fn source_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(content) => Some(content),
        None => error.source(),
    }
}

/// Errors of hyper-util's proxy tunnel can only be recognized by their message.
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

/// Describes an error for users, with the message of the library in parentheses where it adds
/// information.
fn describe(kind: TransportErrorKind, error: &(dyn Error + 'static)) -> String {
    let known = causes(error)
        .find_map(describe_certificate_error)
        .or_else(|| {
            let errors = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
            errors.map(io::Error::kind).find_map(describe_io_error)
        });
    let summary = match (kind, known) {
        (TransportErrorKind::Dns, _) => "cannot resolve the host name",
        (TransportErrorKind::Timeout, _) => "the request timed out",
        (TransportErrorKind::Certificate, None) => "the endpoint's certificate is not trusted",
        (TransportErrorKind::Proxy, _) => "the connection through the proxy failed",
        (TransportErrorKind::Broken, None) => "the connection was interrupted",
        (_, Some(known)) => known,
        (_, None) => "the connection failed",
    };
    let root = causes(error)
        .last()
        .map_or_else(String::new, root_cause_text);
    let is_complete =
        root.is_empty() || known == Some(summary) || kind == TransportErrorKind::Timeout;
    let mut text = if is_complete {
        summary.to_owned()
    } else {
        format!("{summary} ({root})")
    };
    text.truncate(text.floor_char_boundary(MAX_DETAIL_BYTES));
    text
}

/// Returns the message of the innermost cause, without the prefixes and suffixes of libraries.
fn root_cause_text(error: &(dyn Error + 'static)) -> String {
    let text = match error.downcast_ref::<reqwest::Error>() {
        Some(outer) => describe_reqwest_error(outer).to_owned(),
        None => error.to_string(),
    };
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_owned()
}

fn describe_io_error(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    Some(match kind {
        Kind::ConnectionRefused => {
            "the connection was refused: nothing is listening on that host and port"
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable => "the host is unreachable",
        Kind::TimedOut => "the connection timed out",
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
            "the connection was closed by the other side"
        }
        Kind::PermissionDenied => "the operating system denied the connection",
        Kind::AddrNotAvailable => "no local address or port is available for the connection",
        _ => return None,
    })
}

fn describe_certificate_error(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use CertificateError as Cert;
    let rustls::Error::InvalidCertificate(error) = error.downcast_ref::<rustls::Error>()? else {
        return None;
    };
    Some(match error {
        Cert::Expired | Cert::ExpiredContext { .. } => "the endpoint's certificate has expired",
        Cert::NotValidYet | Cert::NotValidYetContext { .. } => {
            "the endpoint's certificate is not valid yet according to this machine's clock"
        }
        Cert::UnknownIssuer => "the endpoint's certificate was issued by an untrusted authority",
        Cert::NotValidForName | Cert::NotValidForNameContext { .. } => {
            "the endpoint's certificate is for a different host"
        }
        Cert::Revoked => "the endpoint's certificate has been revoked",
        _ => return None,
    })
}

/// Returns the messages of the chain of causes, each only once.
pub(super) fn detail(error: &(dyn Error + 'static)) -> String {
    let mut detail = String::new();
    for cause in causes(error) {
        let text = match cause.downcast_ref::<reqwest::Error>() {
            Some(outer) => describe_reqwest_error(outer).to_owned(),
            None => cause.to_string(),
        };
        if text.is_empty() || detail.contains(&text) {
            continue;
        }
        if !detail.is_empty() {
            detail.push_str(": ");
        }
        detail.push_str(&text);
    }
    detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
    detail
}

/// Describes an error of reqwest, whose own message can contain the URL.
fn describe_reqwest_error(error: &reqwest::Error) -> &'static str {
    if error.is_builder() {
        "the request could not be built"
    } else if error.is_body() || error.is_decode() {
        "the response was interrupted"
    } else {
        "the request failed"
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;
    use TransportErrorKind::{Broken, Certificate, Connect, Dns, Proxy, Timeout};

    /// An error with an optional cause.
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

    fn chain(text: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Link {
        Link(text, Some(cause.into()))
    }

    /// Checks the kind of an error. `flags` names those that are set: `connect`, `dns`, `timeout`.
    #[track_caller]
    fn check(flags: &str, error: &Link, expected: TransportErrorKind) {
        let flags = ErrorFlags {
            before_sending: flags.contains("connect"),
            dns: flags.contains("dns"),
            timeout: flags.contains("timeout"),
        };
        assert_eq!(kind(flags, error), expected, "{error:?}");
    }

    #[test]
    fn only_invalid_certificates_are_certificate_errors() {
        let wrapped = |error: rustls::Error| {
            // hyper-rustls wraps errors like this.
            chain("connect", io::Error::other(io::Error::other(error)))
        };
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        check("connect", &wrapped(unknown.clone()), Certificate);
        check("connect", &chain("connect", unknown), Certificate);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        check("connect", &wrapped(alert), Connect);
        let eof = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        check("connect", &chain("connect", eof), Connect);
    }

    #[test]
    fn every_error_of_the_proxy_is_a_proxy_error() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let tunnel = "tunnel error: failed to create underlying connection";
        let tunnel = chain("connect", chain(tunnel, refused));
        check("connect", &tunnel, Proxy);
        check("connect dns", &tunnel, Proxy);
    }

    #[test]
    fn a_timeout_before_sending_is_a_connect_error() {
        let slow = chain("connect", Link("operation timed out", None));
        check("connect timeout", &slow, Connect);
        let unknown = chain("connect", Link("dns error", None));
        check("connect dns", &unknown, Dns);
    }

    #[test]
    fn after_sending_only_our_own_timeout_is_a_timeout() {
        check("timeout", &Link("operation timed out", None), Timeout);
        let dead = io::Error::from_raw_os_error(110);
        check("timeout", &chain("connection error", dead), Broken);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        check("", &chain("connection error", reset), Broken);
    }

    #[test]
    fn the_detail_contains_each_cause_once_and_is_truncated_at_a_character() {
        let refused = chain("refused", Link("refused", None));
        let error = chain("failed", chain("client error (Connect)", refused));
        assert_eq!(detail(&error), "failed: client error (Connect): refused");
        let long = chain("x", "é".repeat(600));
        assert_eq!(detail(&long).len(), 499);
    }

    #[track_caller]
    fn check_description(kind: TransportErrorKind, error: &Link, expected: &str) {
        assert_eq!(describe(kind, error), expected, "{error:?}");
    }

    #[test]
    fn common_errors_have_descriptions_for_users() {
        let io = |number| chain("connect", io::Error::from_raw_os_error(number));
        let refused = "the connection was refused: nothing is listening on that host and port";
        check_description(Connect, &io(111), refused);
        check_description(Connect, &io(101), "the host is unreachable");
        let closed = "the connection was closed by the other side";
        check_description(Broken, &io(104), closed);
        let unknown = "failed to lookup address information: Name or service not known";
        let unknown = chain("dns error", io::Error::other(unknown));
        let expected = "cannot resolve the host name (Name or service not known)";
        check_description(Dns, &chain("connect", unknown), expected);
    }

    #[test]
    fn messages_of_the_library_are_in_parentheses() {
        let wrapped = |error: rustls::Error| chain("connect", io::Error::other(error));
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let expected = "the endpoint's certificate has expired";
        check_description(Certificate, &wrapped(expired), expected);
        let missing = wrapped(rustls::Error::NoCertificatesPresented);
        let expected = "the endpoint's certificate is not trusted (peer sent no certificates)";
        check_description(Certificate, &missing, expected);
        let refused = chain("tunnel error: failed", io::Error::from_raw_os_error(111));
        let expected = "the connection through the proxy failed (Connection refused)";
        check_description(Proxy, &refused, expected);
        let slow = Link("operation timed out", None);
        check_description(Timeout, &slow, "the request timed out");
        let closed = Link("connection closed before message completed", None);
        let expected =
            "the connection was interrupted (connection closed before message completed)";
        check_description(Broken, &chain("failed", closed), expected);
        let long = chain("x", "é".repeat(600));
        assert!(describe(Connect, &long).len() <= MAX_DETAIL_BYTES);
    }

    #[test]
    fn a_url_is_never_in_the_detail() {
        let error = reqwest::Client::builder()
            .user_agent("a\nb")
            .build()
            .unwrap_err();
        let url = reqwest::Url::parse("https://secret.example/v1").unwrap();
        let (kind, detail) = classify(&error.with_url(url));
        assert_eq!(kind, Connect);
        assert!(
            detail.starts_with("the request could not be built: "),
            "{detail}"
        );
        assert!(!detail.contains("secret"), "{detail}");
    }
}
