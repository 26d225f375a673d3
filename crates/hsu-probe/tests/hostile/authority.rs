//! Certificates of a test, by OpenSSL's own tool.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands in certificates of both kinds.
const CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n\
                      [authority]\nbasicConstraints = critical,CA:TRUE\n\
                      [server]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = ";

/// A certificate, and the key that proves it, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Certified {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Runs OpenSSL as on that day.
fn make(folder: &Path, name: &str, day: &str, host: &str, more: &[&str]) -> Certified {
    let path = |ending: &str| folder.join(format!("{name}.{ending}"));
    let (certificate, key, config) = (path("pem"), path("key"), path("cnf"));
    std::fs::write(&config, format!("{CONFIG}DNS:{host}\n")).expect("a file");
    let output = Command::new("faketime")
        .args([day, "openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "3650"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", &format!("/CN={name}")])
        .arg("-config")
        .arg(config)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .args(more)
        .output()
        .expect("faketime and openssl");
    assert!(output.status.success(), "{output:?}");
    Certified { certificate, key }
}

/// Somebody who says whom to believe.
pub(crate) fn authority(folder: &Path, name: &str) -> Certified {
    make(folder, name, "2020-01-01", "authority", &["-extensions", "authority", "-days", "36500"])
}

/// A server of this name, by an authority or by its own word, for ten years from that day.
pub(crate) fn server(
    folder: &Path,
    name: &str,
    (host, day): (&str, &str),
    authority: Option<&Certified>,
) -> Certified {
    let mut more = vec!["-extensions", "server"];
    if let Some(Certified { certificate, key }) = authority {
        let text = |path: &Path| path.to_str().expect("a path").to_owned();
        let (certificate, key) = (text(certificate), text(key));
        more.extend(["-CA", &certificate, "-CAkey", &key]);
        return make(folder, name, day, host, &more);
    }
    make(folder, name, day, host, &more)
}
