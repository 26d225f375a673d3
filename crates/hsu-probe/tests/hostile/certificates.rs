//! Certificates that should not be believed, and one that should.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use hsu_model::health::Finding;
use hsu_model::health::probe::{Answerer, Endpoint, Place, Probe, Reach, Tls, Trust};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::authority::{Certified, authority, server};
use crate::taking::{SOON, look_within, serve};

/// A server that shows a certificate.
fn show(shown: &Certified) -> u16 {
    let chain = CertificateDer::pem_file_iter(&shown.certificate).expect("it can be done");
    let chain: Vec<CertificateDer<'static>> =
        chain.map(|one| one.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(&shown.key).expect("it can be done");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("it can be done")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("it can be done");
    let config = Arc::new(config);
    serve(move |mut client: TcpStream| {
        let mut session = ServerConnection::new(Arc::clone(&config)).expect("it can be done");
        // It fails when the certificate is not believed, which is the client's to tell.
        while session.is_handshaking() && session.complete_io(&mut client).is_ok() {}
        drop(session.complete_io(&mut client));
    })
}

#[test]
fn a_certificate_is_believed_for_its_name_and_time_by_its_authority_only() {
    // Row 108.
    let folder = tempfile::tempdir().expect("it can be done");
    let (ours, others) = (authority(folder.path(), "ours"), authority(folder.path(), "others"));
    let make = |name: &str, host: &str, day: &str, by: Option<&Certified>| {
        show(&server(folder.path(), name, (host, day), by))
    };
    let (known, other) = (ours.certificate.as_path(), others.certificate.as_path());
    let tls = |ca: &Path| Tls {
        trust: Trust::Proven,
        authority: Some(ca.to_str().expect("it can be done").to_owned()),
        ..Tls::default()
    };
    let named = |ca: &Path, name: &str| Tls { server_name: Some(name.to_owned()), ..tls(ca) };
    let anybody = Tls { trust: Trust::Anybody, ..Tls::default() };
    let now = "2025-01-01";
    let rows: [(&str, u16, Tls, (bool, &str)); 8] = [
        ("good", make("good", "localhost", now, Some(&ours)), tls(known), (true, "")),
        (
            "by its name",
            make("name", "shop.internal", now, Some(&ours)),
            named(known, "shop.internal"),
            (true, ""),
        ),
        (
            "wrong host",
            make("host", "shop.internal", now, Some(&ours)),
            tls(known),
            (false, "not valid for name"),
        ),
        (
            "expired",
            make("expired", "localhost", "2002-01-01", Some(&ours)),
            tls(known),
            (false, "expired"),
        ),
        ("self-signed", make("self", "localhost", now, None), tls(known), (false, "UnknownIssuer")),
        (
            "of another authority",
            make("other", "localhost", now, Some(&ours)),
            tls(other),
            (false, "UnknownIssuer"),
        ),
        (
            "not yet",
            make("early", "localhost", "2037-01-01", Some(&ours)),
            tls(known),
            (false, "not valid yet"),
        ),
        ("anybody", make("anybody", "elsewhere", "2002-01-01", None), anybody, (true, "")),
    ];
    let probes = rows.iter().map(|(_, port, tls, _)| {
        let host = "localhost".to_owned();
        let place = Place::Port { host, port: *port, reach: Reach::Usual };
        Probe::Tcp(Endpoint { place, tls: Some(tls.clone()), answerer: Answerer::Anybody })
    });
    let findings = look_within(SOON, probes.collect());
    for ((name, _, _, (good, words)), finding) in rows.iter().zip(findings) {
        let (passed, note) = match &finding {
            Finding::Passed { note, .. } => (true, note),
            Finding::Failed { why } | Finding::Inconclusive { why } => (false, why),
        };
        assert!(passed == *good && note.contains(words), "{name}: {finding:?}");
    }
}
