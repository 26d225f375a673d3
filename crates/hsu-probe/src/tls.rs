//! TLS: whom we trust, and who we are.
//!
//! A setting is made once a minute at most, so that a certificate that was renewed is
//! taken up and a look does not read the authorities of the host each time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hsu_model::health::probe::{Tls, Trust};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connection::Plain;
use crate::look::Trouble;

/// How long a setting is used.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// Settings that are kept.
const MOST_KEPT: usize = 256;

type Key = (Tls, Vec<Vec<u8>>);

/// The settings that were used lately.
#[derive(Debug, Default)]
pub(crate) struct Tlses {
    made: Mutex<HashMap<Key, (Instant, Arc<ClientConfig>)>>,
}

impl Tlses {
    /// Shakes hands over a stream.
    pub(crate) async fn protect(
        &self,
        plain: Plain,
        tls: &Tls,
        host: &str,
        protocols: &[&[u8]],
    ) -> Result<TlsStream<Plain>, Trouble> {
        let config = self.config(tls, protocols)?;
        let name = tls.server_name.as_deref().unwrap_or(host);
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name)
            .map_err(|error| Trouble::Unable(format!("server name: {error}")))?;
        let stream = TlsConnector::from(config).connect(name, plain).await;
        stream.map_err(|error| Trouble::Bad(format!("TLS: {error}")))
    }

    fn config(&self, tls: &Tls, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, Trouble> {
        let key = (tls.clone(), protocols.iter().map(|name| name.to_vec()).collect());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, config)) = made.get(&key)
            && since.elapsed() < FRESH_FOR
        {
            return Ok(Arc::clone(config));
        }
        let mut config = make(tls).map_err(|error| Trouble::Unable(format!("TLS: {error}")))?;
        config.alpn_protocols.clone_from(&key.1);
        let config = Arc::new(config);
        if made.len() >= MOST_KEPT {
            made.clear();
        }
        made.insert(key, (Instant::now(), Arc::clone(&config)));
        Ok(config)
    }
}

fn make(tls: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous();
    let builder = match tls.trust {
        Trust::Anybody => builder.with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        Trust::Proven => {
            let roots = Arc::new(roots(tls.authority.as_deref())?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_custom_certificate_verifier(verifier.map_err(|error| error.to_string())?)
        }
    };
    match &tls.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{key}: {error}"))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
        }
    }
}

fn roots(authority: Option<&str>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let certificates = match authority {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err("no authority is known (hint: name one with `ca_file`)".to_owned());
    }
    Ok(store)
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(Path::new(path));
    let all = all.map_err(|error| format!("{path}: {error}"))?;
    all.collect::<Result<_, _>>().map_err(|error| format!("{path}: {error}"))
}

/// Believes every certificate, and still checks that its owner is the other side.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
